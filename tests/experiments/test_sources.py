"""Batch sources of a config: what is wrong with data or settings is said when they are opened."""

import pytest

from experiments.promptable_sam2 import sources
from experiments.promptable_sam2.set_evaluation import SetEvaluation, SetEvaluationOptions
from experiments.promptable_sam2.sources import SetBatchOptions, SetOptions
from surgjax.data.reader import PreparedSet
from surgjax.models import variants
from surgjax.train.scene_batches import BatchOptions
from tests.data import prepared


def _open(kind, folder):
    return sources.open_sources({"some": kind}, str(folder), 0, {"some": lambda item: item})


@pytest.mark.parametrize("kind", ["clip", "image", "shapes", "dense"])
def test_missing_shards_are_named_before_a_stage_needs_them(tmp_path, kind):
    what = "clips" if kind == "clip" else "images"
    with pytest.raises(ValueError, match=rf"no {what}_\*.npz shard found"):
        _open(BatchOptions(kind=kind), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": {"p_flip": 2.0}}, "AugmentConfig.p_flip: expected 0..1"),
        ({"weighting": "equal"}, "weighting must be given or sqrt_masks"),
        ({"sampler": {"frames": 9, "short": "skip"}}, "none of the 1 videos .* has a clip"),
    ],
)
def test_settings_of_sets_are_refused_before_a_batch_is_asked_for(tmp_path, changes, message):
    video = prepared.moving_square("m", 6, 32, 32)
    prepared.write_set(str(tmp_path), "squares", {"train": [video]})
    _open(SetBatchOptions((SetOptions("squares"),)), tmp_path)
    with pytest.raises(ValueError, match=message):
        _open(SetBatchOptions((SetOptions("squares"),), **changes), tmp_path)


def test_a_split_that_cannot_be_tracked_is_refused_before_training(tmp_path):
    """One frame per video gives no J&F, which would end the run at its first evaluation."""
    video = prepared.moving_square("m", 1, 32, 32)
    found = PreparedSet(prepared.write_set(str(tmp_path), "squares", {"val": [video]}))
    config = variants.get_config("debug")
    with pytest.raises(ValueError, match="no video of split 'val' has an object and two annotated"):
        SetEvaluation(config, found, "val", SetEvaluationOptions(videos=1))
    SetEvaluation(config, found, "val", SetEvaluationOptions(videos=0))


def test_shares_of_kinds_follow_the_masks_of_their_sets(tmp_path):
    for name, length, count in (("videos", 9, 4), ("more", 4, 4), ("images", 1, 16)):
        videos = [prepared.moving_square(f"{name}{i}", length, 32, 32) for i in range(count)]
        prepared.write_set(str(tmp_path), name, {"train": videos})
    clip = SetBatchOptions(
        (SetOptions("videos"), SetOptions("more", weight=2.0)), weighting="sqrt_masks", batch=2
    )
    image = SetBatchOptions((SetOptions("images"),), kind="image", weighting="sqrt_masks", batch=4)
    found = sources.shares_by_masks(str(tmp_path), {"clip": clip, "image": image})
    # 36, 16 and 16 masks: roots 6, twice 4, and 4; two clips or four images a step.
    assert found == pytest.approx({"clip": 7 / 8, "image": 1 / 8})
    with pytest.raises(ValueError, match="need train_data.clip to mix prepared sets"):
        sources.shares_by_masks(str(tmp_path), {"clip": BatchOptions()})


def test_annotators_of_a_config():
    options = SetBatchOptions((SetOptions("s"),), annotators={"raters": ["tight"], "seed": 3})
    relabel = options.relabel()
    assert relabel is not None and relabel.raters == ("tight",) and relabel.seed == 3
    with pytest.raises(ValueError, match="raters: expected some of"):
        SetBatchOptions((SetOptions("s"),), annotators={"raters": ["sloppy"]})
