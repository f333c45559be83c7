"""One protocol drives our predictor and transformers' model of the same weights: equal masks.

Axes:    three frames 96 x 128, the model's input is 64 px: the size of our `debug` variant.
Units:   IoU of our masks and theirs.
Errors:  AssertionError naming frame and IoU.
Source:  transformers 5.23, through `transformers_segmenter`.
Differs: random weights, so the masks mean nothing; they have to be the same, prompts included.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from surgjax.checkpoints import import_params  # noqa: E402
from surgjax.evaluation import interactive, semi_supervised  # noqa: E402
from surgjax.evaluation.annotated_video import AnnotatedVideo  # noqa: E402
from surgjax.evaluation.our_segmenter import OurSegmenter  # noqa: E402
from surgjax.evaluation.prompted_run import Start  # noqa: E402
from surgjax.inference import VideoPredictor  # noqa: E402
from surgjax.testing import debug_config  # noqa: E402
from tests.golden import make  # noqa: E402
from tests.parity import clip, reference  # noqa: E402
from tests.parity.transformers_segmenter import OriginalFlow, TransformersSegmenter  # noqa: E402

pytestmark = pytest.mark.parity
SEED, SCORE_BIAS, FRAMES = 0, 2.0, 3


@pytest.fixture(scope="module")
def sides():
    torch.set_num_threads(1)
    hf = reference.lively_weights(make.build(), SEED, SCORE_BIAS)
    config = debug_config()
    params = import_params({k: v.numpy() for k, v in hf.state_dict().items()}, config)
    return OurSegmenter(VideoPredictor(params, config)), hf


@pytest.fixture(scope="module")
def video():
    """A tilted ellipse that moves to the left."""
    shapes = [np.roll(clip.mask_prompt(), -5 * t, 1).astype(np.uint8) for t in range(FRAMES)]
    return AnnotatedVideo("waves", clip.frames_u8()[:FRAMES], dict(enumerate(shapes)))


def play(segmenter, video, prompt):
    masks = {}
    start = Start(prompt, together=False)
    outcome = semi_supervised.run(segmenter, video, start, lambda t, m: masks.update({t: m[1]}))
    return outcome, masks


def assert_same(ours, theirs):
    for t, mask in ours.items():
        assert 0.01 < mask.mean() < 0.99, f"frame {t}: a mask without content proves nothing"
        iou = (mask & theirs[t]).sum() / (mask | theirs[t]).sum()
        assert iou > 0.999, f"frame {t}: IoU {iou}"
    assert (ours[0] != ours[FRAMES - 1]).any(), "the masks do not move"


def told(outcome):
    return [(g.frame, None if g.prompt.points_xy is None else g.prompt.points_xy.tolist())
            for g in outcome.given]  # fmt: skip


@pytest.mark.parametrize("prompt", ["1-click", "box"])
def test_transformers_own_session(sides, video, prompt):
    ours, hf = sides
    outcome, masks = play(ours, video, prompt)
    other, theirs = play(TransformersSegmenter(hf), video, prompt)
    assert_same(masks, theirs)
    assert told(outcome) == told(other)
    _, control = play(TransformersSegmenter(hf), video, "box" if prompt == "1-click" else "1-click")
    with pytest.raises(AssertionError, match="IoU"):
        assert_same(masks, control)


@pytest.mark.parametrize("prompt", ["3-click", "mask"])
def test_the_original_flow(sides, video, prompt):
    """Here each click is told the answer to those before, as in the original predictor."""
    ours, hf = sides
    outcome, masks = play(ours, video, prompt)
    other, theirs = play(OriginalFlow(hf), video, prompt)
    assert_same(masks, theirs)
    assert told(outcome) == told(other)


@pytest.mark.parametrize("online", [False, True])
def test_interactive_rounds(sides, video, online):
    ours, hf = sides
    start = Start("1-click", together=False)
    runs = []
    for segmenter in (ours, OriginalFlow(hf)):
        if online:
            runs.append([interactive.run_online(segmenter, video, interactive.Online(start))])
        else:
            settings = interactive.Offline(start, rounds=3, clicks=2)
            runs.append(interactive.run_offline(segmenter, video, settings))
    for outcome, other in zip(*runs, strict=True):
        assert told(outcome) == told(other)
        for t, rows in outcome.rows.items():
            assert rows[1] is not None
            np.testing.assert_allclose(rows[1][:3], other.rows[t][1][:3], atol=2e-3)
    assert runs[0][-1].stops == 2
