"""Few-shot subsets: balance, seeds, nesting, spread over videos, reading a restricted index."""

import numpy as np
import pytest

from surgjax.data import few_shot, samplers
from surgjax.data.augment import NO_AUGMENT
from surgjax.data.clips import open_clips
from surgjax.data.few_shot import Shot
from surgjax.data.index import ObjectEntry, SetIndex, VideoEntry, positions_of
from surgjax.data.mixture import MixtureEntry
from surgjax.data.reader import PreparedSet
from tests.data import prepared


def _video(name, first, length, objects):
    things = tuple(
        ObjectEntry(i + 1, category, True, runs) for i, (category, runs) in enumerate(objects)
    )
    everything = ((0, length),)
    return VideoEntry(name, first, length, 64, 96, 25.0, "none", "set", name, everything, things)


# 30 frames of liver in a, 4 in b; hooks in both, two at a time in a; a grasper in three frames.
INDEX = SetIndex(
    "set",
    {
        "train": (
            _video("a", 0, 30, [("liver", ((0, 30),)), ("hook", ((0, 10),)), ("hook", ((5, 12),))]),
            _video("b", 30, 10, [("liver", ((2, 6),)), ("hook", ((0, 10),))]),
            _video("c", 40, 5, [("grasper", ((1, 4),))]),
        ),
        "test": (_video("d", 0, 8, [("liver", ((0, 8),))]),),
    },
    {"fold": ("b", "d")},
)


def _shots(per_class, seed=0, **options):
    return few_shot.draw_shots(INDEX, "train", per_class, seed, **options)


def test_every_class_has_the_same_number_of_frames_that_show_it():
    shots = _shots(3)
    assert few_shot.count(shots) == {"grasper": 3, "hook": 3, "liver": 3}
    assert len(set(shots)) == 9 and list(shots) == sorted(shots, key=lambda s: (s.category, s))
    videos = {video.video_id: video for video in INDEX.splits["train"]}
    for shot in shots:
        things = [o for o in videos[shot.video_id].objects if o.category == shot.category]
        assert any(shot.frame in positions_of(thing.visible) for thing in things)


def test_pure_in_the_seed_and_nested():
    assert _shots(3, seed=5) == _shots(3, seed=5)
    assert len({_shots(3, seed=seed) for seed in range(5)}) == 5
    for spread in ("frames", "videos"):
        large = _shots(15, categories=("hook", "liver"), spread=spread)
        assert set(_shots(4, categories=("hook", "liver"), spread=spread)) < set(large)


def test_another_class_changes_nothing():
    alone = _shots(5, categories=("hook",))
    assert alone == tuple(
        s for s in _shots(5, categories=("hook", "liver")) if s.category == "hook"
    )


def test_frames_are_drawn_uniformly_or_in_turn_over_videos():
    def share_of_b(spread):
        drawn = [_shots(4, seed, categories=("liver",), spread=spread) for seed in range(200)]
        return np.mean([shot.video_id == "b" for shots in drawn for shot in shots])

    assert share_of_b("frames") == pytest.approx(4 / 34, abs=0.04)
    assert share_of_b("videos") == 0.5


def test_a_restricted_index_has_one_entry_per_shot():
    shots = _shots(3)
    small = few_shot.restrict(INDEX, "train", shots)
    entries = small.splits["train"]
    found = [
        Shot(video.video_id, frame, category)
        for video in entries
        for category in {item.category for item in video.objects}
        for frame in positions_of(video.annotated)
    ]
    assert sorted(found) == sorted(shots) and len(entries) == len(shots)
    for video in entries:
        whole = next(v for v in INDEX.splits["train"] if v.video_id == video.video_id)
        assert (video.first, video.length) == (whole.first, whole.length)
        assert all(item.visible == video.annotated for item in video.objects)
    assert small.splits["test"] == INDEX.splits["test"]


def test_both_objects_of_a_class_are_kept():
    small = few_shot.restrict(INDEX, "train", (Shot("a", 7, "hook"), Shot("a", 2, "hook")))
    ids = [
        (video.annotated, [item.id for item in video.objects]) for _, video in small.videos("train")
    ]
    assert ids == [(((7, 8),), [2, 3]), (((2, 3),), [2])]


def test_a_named_split_is_restricted_where_its_videos_are():
    shots = few_shot.draw_shots(INDEX, "fold", 2, 0, categories=("liver",), spread="videos")
    small = few_shot.restrict(INDEX, "fold", shots)
    assert [video.video_id for _, video in small.videos("fold")] == ["b", "d"]
    assert [video.video_id for video in small.splits["train"]] == ["a", "b", "c"]
    assert small.splits["train"][0] == INDEX.splits["train"][0]
    assert all(video.num_masks == 1 for _, video in small.videos("fold"))


def test_too_few_frames_are_refused_or_taken():
    with pytest.raises(ValueError, match="10 frames per class .* only: grasper 3. allow_fewer"):
        _shots(10)
    counts = few_shot.count(_shots(10, allow_fewer=True))
    assert counts == {"grasper": 3, "hook": 10, "liver": 10}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(per_class=0), "per_class: expected 1 or more, found 0"),
        (dict(per_class=1, categories=("spleen",)), "shows spleen; it shows grasper, hook, liver"),
        (dict(per_class=1, spread="patients"), "spread: expected frames or videos"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        _shots(**arguments)


def test_a_shot_of_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match="b: frame 9 shows no liver"):
        few_shot.restrict(INDEX, "train", (Shot("b", 9, "liver"),))


def test_shots_of_other_videos_are_refused():
    with pytest.raises(ValueError, match="split 'train' has no video d"):
        few_shot.restrict(INDEX, "train", (Shot("d", 0, "liver"),))


def test_batches_of_a_restricted_set_show_the_shots(tmp_path):
    videos = [prepared.moving_square(name, 12) for name in ("x", "y")]
    opened = PreparedSet(prepared.write_set(str(tmp_path), "few", {"train": videos}))
    shots = few_shot.draw_shots(opened.index, "train", 5, 1)
    opened.index = few_shot.restrict(opened.index, "train", shots)
    sampler = samplers.ClipSampler(frames=1, objects=1, annotated_only=True)
    entries = [MixtureEntry(opened, "train", sampler)]
    with open_clips(entries, batch_size=2, size=48, seed=0, augment_config=NO_AUGMENT) as clips:
        batches = [next(clips) for _ in range(5)]  # two epochs of five shots
    assert all(batch.clips.visible.all() for batch in batches)
    seen = [(source.video_id, *source.positions) for batch in batches for source in batch.sources]
    assert sorted(seen) == sorted(2 * [(shot.video_id, shot.frame) for shot in shots])
