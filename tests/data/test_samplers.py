"""Clips by hand on small videos, the distribution of starts, hybrid clips as the paper has them."""

import collections

import numpy as np
import pytest

from surgjax.data import index as set_index
from surgjax.data import samplers
from surgjax.data.index import ObjectEntry, VideoEntry
from surgjax.data.samplers import ClipSampler


def video(length, seen, annotated=None):
    """seen: runs of every object."""
    objects = tuple(ObjectEntry(i + 1, "tool", True, runs) for i, runs in enumerate(seen))
    annotated = ((0, length),) if annotated is None else annotated
    return VideoEntry("v", 0, length, 8, 8, 5.0, "", "", "v", annotated, objects)


def draws(entry, sampler, count=300):
    return [
        samplers.draw_clip(np.random.default_rng(seed), entry, sampler) for seed in range(count)
    ]


def positions(entry, sampler, count=300):
    return collections.Counter(tuple(d.positions.tolist()) for d in draws(entry, sampler, count))


def test_consecutive_starts_where_an_object_is_seen_uniformly():
    entry = video(10, [((2, 4),), ((6, 10),)])  # 8 frames do not fit from 6 on
    found = positions(entry, ClipSampler(frames=4), 900)
    assert set(found) == {(2, 3, 4, 5), (3, 4, 5, 6), (6, 7, 8, 9)}
    assert min(found.values()) > 240  # 300 expected, 4 deviations of 14


def test_objects_are_those_of_the_first_frame():
    entry = video(6, [((0, 6),), ((0, 1),), ((1, 6),), ((0, 6),)])
    found = draws(entry, ClipSampler(frames=6, objects=2))
    chosen = collections.Counter(d.object_ids for d in found)
    assert {tuple(sorted(ids)) for ids in chosen} == {(1, 2), (1, 4), (2, 4)}
    assert len(chosen) == 6  # in every order
    assert draws(entry, ClipSampler(frames=6, objects=9), 1)[0].object_ids.__len__() == 3


def test_strides_are_drawn_from_those_that_fit():
    entry = video(9, [((0, 9),)])
    sampler = ClipSampler(kind="strided", frames=4, strides=(2, 5))
    found = positions(entry, sampler)
    assert set(found) == {(0, 2, 4, 6), (1, 3, 5, 7), (2, 4, 6, 8)}  # 3 * 3 needs 10 frames
    assert set(positions(video(6, [((0, 6),)]), sampler)) == {
        (0, 1, 2, 3),
        (1, 2, 3, 4),
        (2, 3, 4, 5),
    }
    one = draws(entry, sampler, 1)[0]
    assert one.frame_index.tolist() == [0, 2, 4, 6]


def test_reverse():
    entry = video(8, [((0, 8),)])
    found = draws(entry, ClipSampler(frames=3, p_reverse=0.25), 400)
    backward = [d for d in found if d.is_reversed]
    assert 65 < len(backward) < 135  # 100 expected, 4 deviations of 8.7
    for d in found:
        step = -1 if d.is_reversed else 1
        assert np.diff(d.positions).tolist() == [step, step]
        assert d.frame_index.tolist() == [0, 1, 2]


def test_the_other_direction_where_one_has_no_room():
    entry = video(8, [((7, 8),)])  # enters in the last frame
    assert not samplers.can_draw(entry, ClipSampler(frames=4))
    sampler = ClipSampler(frames=4, p_reverse=0.01)
    assert samplers.can_draw(entry, sampler)
    assert set(positions(entry, sampler)) == {(7, 6, 5, 4)}
    with pytest.raises(ValueError, match="v: no clip of 4 frames starts with a visible object"):
        draws(entry, ClipSampler(frames=4), 1)
    only_forward = video(8, [((0, 1),)])
    assert not any(d.is_reversed for d in draws(only_forward, ClipSampler(frames=4), 50))


def test_short_videos_bounce_and_images_stand():
    entry = video(4, [((1, 2),)])
    sampler = ClipSampler(frames=8)
    found = draws(entry, sampler, 20)
    assert {tuple(d.positions.tolist()) for d in found} == {(1, 2, 3, 2, 1, 0, 1, 2)}
    assert found[0].frame_index.tolist() == list(range(8))
    image = draws(video(1, [((0, 1),)]), sampler, 1)[0]
    assert image.positions.tolist() == [0] * 8
    assert image.frame_index.tolist() == list(range(8))
    skipping = ClipSampler(frames=8, short="skip")
    assert not samplers.can_draw(entry, skipping)
    assert samplers.can_draw(video(8, [((0, 1),)]), skipping)


def test_frames_without_annotation():
    entry = video(9, [((0, 1), (4, 5), (8, 9))], annotated=((0, 1), (4, 5), (8, 9)))
    found = draws(entry, ClipSampler(frames=5), 60)
    assert {tuple(d.positions.tolist()) for d in found} == {(0, 1, 2, 3, 4), (4, 5, 6, 7, 8)}
    assert found[0].is_annotated.tolist() == [True, False, False, False, True]
    sparse = draws(entry, ClipSampler(frames=3, annotated_only=True), 1)[0]
    assert sparse.positions.tolist() == [0, 4, 8] == sparse.frame_index.tolist()
    assert sparse.is_annotated.all()


@pytest.mark.parametrize("seed", range(60))
def test_can_draw_says_whether_a_draw_succeeds(seed):
    rng = np.random.default_rng(seed)
    length = int(rng.integers(1, 14))
    annotated = [t for t in range(length) if rng.random() < 0.6]
    seen = [set_index.runs_of(t for t in annotated if rng.random() < 0.3) for _ in range(2)]
    entry = video(length, seen, set_index.runs_of(annotated))
    for kind in samplers.KINDS:
        for p_reverse in (0.0, 0.5):
            for options in (dict(), dict(annotated_only=True), dict(short="skip")):
                sampler = ClipSampler(kind, frames=5, p_reverse=p_reverse, **options)
                if samplers.can_draw(entry, sampler):
                    for d in draws(entry, sampler, 5):
                        assert len(d.positions) == 5 and d.object_ids and d.is_annotated[0]
                        for object_id in d.object_ids:
                            runs = entry.objects[object_id - 1].visible
                            assert d.positions[0] in set_index.positions_of(runs)
                else:
                    with pytest.raises(ValueError, match="no clip of 5 frames"):
                        draws(entry, sampler, 1)


HYBRID = ClipSampler(kind="hybrid", frames=8, objects=2)


def test_hybrid_is_one_conditioning_two_long_five_in_a_row():
    entry = video(40, [((0, 12), (25, 30)), ((10, 40),)])
    gaps, fallbacks = [], 0
    for d in draws(entry, HYBRID, 400):
        first, *long, start = d.positions[:4].tolist()
        assert np.diff(d.positions[3:]).tolist() == [1] * 4
        if not d.is_long.any():
            fallbacks += 1
            assert np.diff(d.positions).tolist() == [1] * 7
            continue
        assert first < long[0] < long[1] < start
        assert d.is_long.tolist() == [False, True, True] + [False] * 5
        assert (d.frame_index == d.positions - first).all()  # real gaps
        target = d.object_ids[0]  # seen in the first frame and in one of the run
        runs = entry.objects[target - 1].visible
        assert any(a <= first < b for a, b in runs)
        assert any(a <= t < b for a, b in runs for t in range(start, start + 5))
        gaps.append(start - first)
    assert fallbacks < 100  # only where the run begins before frame 3, or before its object
    assert min(gaps) == 3 and max(gaps) == 29  # from frame 0 to a run that begins in frame 29


def test_hybrid_start_is_uniform_over_runs_that_show_the_target():
    entry = video(12, [((0, 3), (7, 8))])
    starts = collections.Counter(int(d.positions[3]) for d in draws(entry, HYBRID, 800))
    # Runs [s, s + 5) that show it: s of 0..7. Below 3 nothing fits before: clips of 8 in a row,
    # whose start 0..2 puts position 3 at 3..5.
    assert set(starts) == {3, 4, 5, 6, 7}
    assert all(70 < starts[s] < 130 for s in (6, 7))  # 100 expected


def test_hybrid_falls_back_to_a_run():
    entry = video(9, [((6, 9),)])
    assert not samplers.can_draw(entry, HYBRID)  # nor does a run fit
    entry = video(9, [((1, 9),)])
    for d in draws(entry, HYBRID, 50):
        assert d.is_long.any() or set(np.diff(d.positions)) == {1}
    seven = draws(video(7, [((0, 7),)]), HYBRID, 1)[0]
    assert not seven.is_long.any() and len(seven.positions) == 8
    backward = draws(video(20, [((0, 20),)]), ClipSampler("hybrid", p_reverse=1.0), 20)
    assert all(
        (np.diff(d.positions) < 0).all() and (np.diff(d.frame_index) > 0).all() for d in backward
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(kind="random"), "kind: expected one of consecutive, strided, hybrid, found 'random'"),
        (dict(frames=0), "frames: expected 1 or more, found 0"),
        (dict(objects=255), "objects: expected 1..254"),
        (dict(kind="strided", strides=(3, 2)), "strides: expected 1 <= smallest <= largest"),
        (dict(strides=(1, 2)), r"strides: expected \(1, 1\) if consecutive"),
        (dict(p_reverse=1.5), "p_reverse: expected 0..1"),
        (dict(short="pad"), "short: expected bounce or skip"),
        (dict(kind="hybrid", frames=3), "num_long: expected 1..frames - 2"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        ClipSampler(**settings)
