"""What objects are, along a video: the predictor, the streaming core and a scan agree."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.inference import VideoPredictor
from surgjax.inference.frames import resize_for_model
from surgjax.inference.object_classes import ClassTally, ObjectClassifier
from surgjax.inference.stream import Stream, no_prompts
from surgjax.models.sam2 import Sam2
from surgjax.testing import debug_config, lively_params, moving_squares
from surgjax.text.text_bank import TextBank

CONFIG = debug_config().replace(semantic_token=True)
PARAMS = lively_params(CONFIG)
STREAM = Stream.create(CONFIG)
CLIP = moving_squares(5)
ROWS = np.linalg.qr(np.random.default_rng(0).standard_normal((512, 4)))[0].T.astype(np.float32)
BANK = TextBank(("a", "b", "c", "d"), ROWS, "made up", np.ones(4, bool))
CLICKS = {0: (20, 20), 2: (60, 30)}  # by slot or object, in pixels of the video (80 x 48)


@functools.cache
def offline():
    """Outputs of all frames from one `lax.scan`, T leading."""
    frames = jnp.stack([resize_for_model(frame, CONFIG.image_size) for frame in CLIP])
    first = no_prompts(CONFIG, 4)
    for slot, (x, y) in CLICKS.items():
        scale = CONFIG.image_size / np.array([80, 48], np.float32)
        first.points.points_xy[slot, 0] = np.array([x, y]) * scale
        first.points.labels[slot, 0] = 1
        first.points.valid[slot, 0] = True
    first = first.replace(track=np.isin(np.arange(4), list(CLICKS)))
    later = no_prompts(CONFIG, 4)
    prompts = jax.tree.map(lambda a, b: jnp.stack([a] + [b] * (len(CLIP) - 1)), first, later)

    @jax.jit
    def scan(params, state, frames, prompts):
        body = lambda state, x: STREAM.step(params, state, *x)  # noqa: E731
        return jax.lax.scan(body, state, (frames, prompts))[1]

    return jax.device_get(scan(PARAMS, STREAM.init_state(4, len(CLIP)), frames, prompts))


@functools.cache
def streamed():
    """By the predictor: {frame: {object: probabilities}}, and its compiled programs."""
    predictor = VideoPredictor(PARAMS, CONFIG, text_bank=BANK)
    state = predictor.init_state(CLIP, max_objects=4)
    for obj_id, point in CLICKS.items():
        predictor.add_new_points_or_box(state, 0, obj_id, points=[point], labels=[1])
    found = {}
    for t, ids, _ in predictor.propagate_in_video(state):
        found[t] = predictor.class_probabilities(state)
        assert list(found[t]) == ids
    return found, predictor


def test_streaming_equals_offline():
    found, predictor = streamed()
    assert sorted(found) == list(range(len(CLIP)))
    classifier = ObjectClassifier(BANK, PARAMS, CONFIG)
    vectors = offline().semantic
    for t, here in found.items():
        for obj_id, probabilities in here.items():
            wanted = classifier.probabilities(vectors[t, obj_id])
            np.testing.assert_allclose(probabilities, wanted, atol=2e-3)
            assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    trackers = [key for key in predictor.programs.compiled if key[0] == "tracker"]
    assert len(trackers) == 1  # one program for prompted and tracked frames


def test_a_removed_object_has_no_class_and_leaves_none_to_its_id():
    _, predictor = streamed()
    state = predictor.init_state(CLIP, max_objects=4)
    for obj_id, point in CLICKS.items():
        predictor.add_new_points_or_box(state, 0, obj_id, points=[point], labels=[1])
    next(predictor.propagate_in_video(state))
    first, *others = predictor.class_probabilities(state)
    predictor.remove_object(state, first)
    assert list(predictor.class_probabilities(state)) == others
    predictor.add_new_points_or_box(state, 0, first, points=[[5, 5]], labels=[1])
    assert list(predictor.class_probabilities(state)) == others
    predictor.reset_state(state)
    assert predictor.class_probabilities(state) == {}


def test_vectors_are_unit_and_follow_the_object():
    vectors = offline().semantic
    np.testing.assert_allclose(np.linalg.norm(vectors[:, [0, 2]], axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(vectors[:, [1, 3]], 0)  # slots without an object
    assert np.abs(vectors[:, 0] - vectors[:, 2]).max() > 1e-3
    assert np.abs(vectors[1, 0] - vectors[4, 0]).max() > 1e-4


def test_probabilities_are_those_of_the_training_step():
    vectors = offline().semantic[:, 0]
    logits = Sam2(CONFIG).apply({"params": PARAMS}, vectors, ROWS, method="class_logits")
    classifier = ObjectClassifier(BANK, PARAMS, CONFIG)
    ours = np.stack([classifier.probabilities(vector) for vector in vectors])
    np.testing.assert_allclose(ours, jax.nn.softmax(logits), atol=1e-5)


def test_a_bank_needs_a_token_and_probabilities_a_bank():
    plain = debug_config()
    with pytest.raises(ValueError, match="debug has no semantic token"):
        VideoPredictor(lively_params(plain), plain, text_bank=BANK)
    predictor = VideoPredictor(PARAMS, CONFIG)
    with pytest.raises(ValueError, match="without a text_bank"):
        predictor.class_probabilities(predictor.init_state(CLIP))


def test_tissue_and_vectors_of_another_width_have_no_part():
    mixed = TextBank(BANK.names, ROWS, "made up", np.array([True, False, True, True]))
    classifier = ObjectClassifier(mixed, PARAMS, CONFIG)
    assert classifier.bank.names == ("a", "c", "d")
    assert int(classifier.probabilities(ROWS[2]).argmax()) == 1
    assert classifier.probabilities(ROWS[1]).shape == (3,)
    narrow = TextBank(("a", "b"), np.eye(2, 64, dtype=np.float32), "made up", np.ones(2, bool))
    with pytest.raises(ValueError, match="vectors of 512 expected, found 64"):
        ObjectClassifier(narrow, PARAMS, CONFIG)


def test_a_tally_is_a_mean_over_frames():
    tally = ClassTally(np.zeros(2))
    assert tally.mean() is None
    tally.add(np.array([1.0, 0.0], np.float32))
    tally.add(np.array([0.5, 0.5], np.float32))
    np.testing.assert_allclose(tally.mean(), [0.75, 0.25])
