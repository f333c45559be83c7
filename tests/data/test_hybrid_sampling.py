"""Hybrid clips over 10,000 draws: constraints, the gaps that follow by hand, who prepares them."""

import collections
import dataclasses

import jax
import numpy as np
import pytest

from surgjax.data import gap_statistics, samplers
from surgjax.data.clips import open_clips
from surgjax.data.index import ObjectEntry, VideoEntry
from surgjax.data.mixture import Mixture, MixtureEntry
from surgjax.data.reader import PreparedSet
from surgjax.data.samplers import ClipSampler
from tests.data import prepared

HYBRID = ClipSampler(kind="hybrid", frames=8, objects=2, p_reverse=0.25)


def video(length, seen, fps=5.0, name="v"):
    objects = tuple(ObjectEntry(i + 1, "tool", True, runs) for i, runs in enumerate(seen))
    return VideoEntry(name, 0, length, 8, 8, fps, "", "", name, ((0, length),), objects)


def is_seen(entry, object_id, position):
    return any(a <= position < b for a, b in entry.objects[object_id - 1].visible)


VIDEOS = {
    "long": video(300, [((0, 40), (200, 260)), ((90, 300),)]),
    "absent": video(120, [((0, 20), (115, 120))]),  # gone for 95 frames, then back
    "short": video(11, [((0, 11),), ((4, 9),)]),
    "least": video(8, [((0, 8),)]),
    "too_short": video(5, [((1, 5),)]),
    "image": video(1, [((0, 1),)], fps=0.0),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_constraints_over_ten_thousand_draws(name):
    entry, rng = VIDEOS[name], np.random.default_rng(0)
    kinds = collections.Counter()
    for _ in range(10_000 if name == "long" else 2000):
        draw = samplers.draw_clip(rng, entry, HYBRID)
        steps = np.diff(draw.positions)
        assert len(draw.positions) == 8 and draw.object_ids and not draw.is_long[0]
        assert ((0 <= draw.positions) & (draw.positions < entry.length)).all()
        assert all(is_seen(entry, each, draw.positions[0]) for each in draw.object_ids)
        assert draw.frame_index[0] == 0 and (np.diff(draw.frame_index) >= 1).all()
        kinds[draw.gap is not None, draw.is_reversed] += 1
        if draw.gap is None:  # in a row, to and fro where the video is shorter than a clip
            assert not draw.is_long.any() and (np.abs(steps) <= 1).all()
            assert entry.length < 8 or len(set(steps.tolist())) == 1
            continue
        way = -1 if draw.is_reversed else 1
        assert draw.is_long.tolist() == [False, True, True, *[False] * 5]
        assert (way * steps > 0).all() and (steps[3:] == way).all()
        assert draw.gap == abs(int(draw.positions[3]) - int(draw.positions[0])) >= 3
        np.testing.assert_array_equal(draw.frame_index, np.abs(draw.positions - draw.positions[0]))
        run = draw.positions[3:].tolist()
        assert any(is_seen(entry, draw.object_ids[0], position) for position in run)
    want = {True, False} if entry.length >= 8 else {False}
    assert {is_hybrid for is_hybrid, _ in kinds} == want
    total = sum(kinds.values())
    backward = sum(count for (_, way), count in kinds.items() if way) / total
    assert abs(backward - 0.25) < 4 * np.sqrt(0.1875 / total)


def test_gaps_follow_the_distribution_by_hand():
    # One object, seen throughout n frames: a run begins at s, uniform over 0..n - 5. From s = 3 on
    # the conditioning frame is uniform over 0..s - 3, so the gap is g with
    # P(g) = sum over s >= g of 1 / (n - 4) / (s - 2); below, the clip is in a row.
    n, count = 30, 10_000
    entry, sampler = video(n, [((0, n),)]), dataclasses.replace(HYBRID, p_reverse=0.0)
    rng = np.random.default_rng(1)
    found = collections.Counter(samplers.draw_clip(rng, entry, sampler).gap for _ in range(count))
    want: dict[int | None, float] = {
        g: sum(1 / (n - 4) / (s - 2) for s in range(g, n - 4)) for g in range(3, n - 4)
    }
    want[None] = 3 / (n - 4)
    assert sum(want.values()) == pytest.approx(1) and set(found) <= set(want)
    chi_square = sum((found[g] - count * p) ** 2 / (count * p) for g, p in want.items())
    assert len(want) == 24 and chi_square < 49.7  # 23 degrees of freedom, 0.1%


def test_run_and_long_frames_are_as_many_as_asked():
    for frames, num_long in ((8, 2), (8, 1), (6, 3), (3, 1)):
        sampler = ClipSampler(kind="hybrid", frames=frames, num_long=num_long)
        assert sampler.num_short == frames - 1 - num_long
        rng = np.random.default_rng(2)
        draws = [samplers.draw_clip(rng, VIDEOS["long"], sampler) for _ in range(50)]
        hybrid = [draw for draw in draws if draw.gap is not None]
        assert hybrid and all(draw.is_long.sum() == num_long for draw in hybrid)
        assert all((np.diff(d.positions[-sampler.num_short :]) == 1).all() for d in hybrid)
    assert ClipSampler(frames=5).num_short == 5


def test_long_range_frames_in_sight():
    # Away from 10 to 90: a frame between would be of no use to a memory that its gate keeps out.
    entry = video(120, [((0, 10), (90, 120)), ((0, 120),), ((0, 60),)])
    sampler = dataclasses.replace(HYBRID, objects=3, seen_long=True)
    rng, seconds = np.random.default_rng(3), collections.Counter()
    for _ in range(1500):
        draw = samplers.draw_clip(rng, entry, sampler)
        if draw.gap is None:
            continue
        target, *others = draw.object_ids
        long = draw.positions[draw.is_long]
        assert len(set(long.tolist())) == 2 and all(is_seen(entry, target, t) for t in long)
        assert (np.diff(draw.frame_index) >= 1).all()
        seen = [sum(is_seen(entry, each, t) for t in long) for each in others]
        assert seen == sorted(seen, reverse=True)
        seconds[target, *others[:1]] += 1
    assert len(seconds) > 4
    control = [samplers.draw_clip(rng, entry, HYBRID) for _ in range(200)]
    assert any(
        not is_seen(entry, draw.object_ids[0], t)
        for draw in control
        if draw.gap is not None
        for t in draw.positions[draw.is_long]
    )


@pytest.mark.parametrize("seen_long", [False, True])
def test_runs_without_the_object(seen_long):
    # The second never goes, the third is seen too late to go.
    entry = video(100, [((0, 20), (60, 100)), ((0, 100),), ((98, 100),)])
    sampler = dataclasses.replace(HYBRID, p_absent=0.4, seen_long=seen_long, p_reverse=0.0)
    rng, away, count = np.random.default_rng(4), 0, 3000
    for _ in range(count):
        draw = samplers.draw_clip(rng, entry, sampler)
        if draw.gap is None:
            continue
        target, run = draw.object_ids[0], draw.positions[3:]
        if any(is_seen(entry, target, t) for t in run):
            continue
        away += 1
        assert target == 1 and 20 <= run[0] and run[-1] < 60  # it had been seen before
    assert abs(away / count - 0.4) < 4 * np.sqrt(0.24 / count)
    stays = video(60, [((0, 60),)])  # no run without it: such videos give others
    draws = [samplers.draw_clip(rng, stays, sampler) for _ in range(50)]
    assert all(is_seen(stays, 1, t) for draw in draws for t in draw.positions)
    with pytest.raises(ValueError, match="p_absent"):
        dataclasses.replace(sampler, p_absent=1.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    videos = [prepared.moving_square(f"m{i}", 20 + 7 * i, 40, 40) for i in range(4)]
    return prepared.write_set(str(tmp_path_factory.mktemp("sets")), "squares", {"train": videos})


def entries(folder, **changes):
    sampler = dataclasses.replace(HYBRID, **changes)
    return [MixtureEntry(PreparedSet(folder), "train", sampler)]


def batches(folder, count, start=0, process=(0, 1), threads=2):
    with open_clips(
        entries(folder), batch_size=4, size=32, seed=3, start_step=start, threads=threads,
        process_index=process[0], process_count=process[1],
    ) as opened:  # fmt: skip
        return [next(opened) for _ in range(count)]


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a.clips, b.clips)
    assert a.sources == b.sources


def test_clips_carry_gaps_and_flags_and_can_be_opened_anywhere(folder):
    whole = batches(folder, 4)
    for first, second in zip(whole, batches(folder, 4, threads=1), strict=True):
        same(first, second)
    same(whole[3], batches(folder, 1, start=3)[0])  # as a resumed run opens it
    halves = [batches(folder, 4, process=(p, 2)) for p in range(2)]
    for step, batch in enumerate(whole):
        parts = [half[step].clips for half in halves]
        joined = jax.tree.map(lambda a, b: np.concatenate([a, b]), *parts)
        jax.tree.map(np.testing.assert_array_equal, batch.clips, joined)
    assert any(batch.clips.is_long.any() for batch in whole)
    for batch in whole:
        for row, source in enumerate(batch.sources):
            index = np.abs(np.array(source.positions) - source.positions[0])
            np.testing.assert_array_equal(batch.clips.frame_index[row], index)
            np.testing.assert_allclose(batch.clips.time_s[row], index / 5.0, rtol=1e-6)


def test_counted_gaps_are_those_of_the_examples(folder):
    mixture = Mixture(entries(folder), 3)
    (counts,) = gap_statistics.count_gaps(mixture, range(16))
    taken = [clips for batch in batches(folder, 4) for clips in [batch.clips]]
    gaps = [
        int(clips.frame_index[row, 3])
        for clips in taken
        for row in range(4)
        if clips.is_long[row].any()
    ]
    assert counts.gaps == gaps and counts.clips == 16 == len(gaps) + counts.in_a_row
    assert sum(counts.histogram().values()) == len(gaps)
    np.testing.assert_allclose(counts.seconds, np.array(gaps) / 5.0)
    assert not gap_statistics.count_gaps(Mixture(entries(folder, kind="consecutive"), 3), range(4))


def test_the_line_of_a_log():
    counts = gap_statistics.GapCounts("squares train")
    assert counts.text() == "squares train: 0 clips, 0 of them in a row"
    counts.clips, counts.in_a_row = 5, 1
    counts.gaps, counts.seconds = [3, 4, 7, 8], [0.6, 0.8, 1.4, 1.6]
    assert counts.text() == (
        "squares train: 5 clips, 1 of them in a row; frames from conditioning frame to run: "
        "2-3: 1, 4-7: 2, 8-15: 1; median 5.5 (1.1 s)"
    )
