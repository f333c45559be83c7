"""Streams: the frames of generate_clip one at a time, in bounded memory; no process differs."""

import hashlib
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from surgjax.synthetic import PRESETS, generate_clip, stream_clip
from surgjax.synthetic.stream import PIXEL_TRUTHS

SIZE = 64


@pytest.mark.parametrize("preset", ["wide", "surgery"])
def test_a_stream_is_the_clip_frame_by_frame(preset):
    config = PRESETS[preset]
    clip = generate_clip(3, 10, SIZE, config, PIXEL_TRUTHS)
    stream = stream_clip(3, 10, SIZE, config, PIXEL_TRUTHS)
    frames = list(stream)
    shown = [k for k in stream.object_ids if any((f.picture.label_map == k).any() for f in frames)]
    assert clip.object_names == tuple(stream.object_names[k - 1] for k in shown)
    rows = np.array(shown) - 1
    verbs, targets = clip.actions
    for t, frame in enumerate(frames):
        picture = frame.picture
        np.testing.assert_array_equal(picture.frame_u8, clip.frames_u8[t])
        np.testing.assert_array_equal(picture.part_map, clip.part_maps[t])
        np.testing.assert_array_equal(picture.depth_mm, clip.depth_mm[t])
        for new, old in enumerate(shown, 1):
            np.testing.assert_array_equal(picture.label_map == old, clip.label_maps[t] == new)
        np.testing.assert_array_equal(picture.amodal_masks[rows], clip.amodal_masks[t])
        np.testing.assert_array_equal(frame.boxes_xyxy[rows], clip.boxes_xyxy[t])
        np.testing.assert_array_equal(frame.track_ids[rows], clip.track_ids[t])
        np.testing.assert_array_equal(frame.in_body[rows], clip.in_body[t])
        np.testing.assert_array_equal(frame.verb_ids[rows], verbs[t])
        old_ids = np.array([0, *shown])
        np.testing.assert_array_equal(frame.target_ids[rows], old_ids[targets[t]])
        assert (frame.index, frame.phase_id, frame.is_cut) == (t, clip.phase_ids[t], clip.cuts[t])
        if t < 9:
            np.testing.assert_array_equal(picture.flow_px, clip.flow_px[t])
            np.testing.assert_array_equal(picture.flow_valid, clip.flow_valid[t])
    assert frames[-1].picture.flow_px is None


@pytest.mark.parametrize("preset", ["wide", "surgery"])
def test_asking_for_truth_changes_no_byte_of_the_rest(preset):
    plain = generate_clip(9, 5, SIZE, PRESETS[preset])
    rich = generate_clip(9, 5, SIZE, PRESETS[preset], PIXEL_TRUTHS)
    for name in ("frames_u8", "label_maps", "part_maps"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(rich, name))
    assert plain.depth_mm is plain.flow_px is plain.flow_valid is plain.amodal_masks is None
    assert rich.depth_mm.shape == (5, SIZE, SIZE) and rich.depth_mm.dtype == np.float32
    assert rich.flow_px.shape == (4, SIZE, SIZE, 2) and rich.flow_px.dtype == np.float32
    assert rich.amodal_masks.shape == (5, len(rich.object_ids), SIZE, SIZE)
    for index in range(len(rich.object_ids)):  # what shows is a part of the whole
        assert not ((rich.label_maps == index + 1) & ~rich.amodal_masks[:, index]).any()


def test_without_an_operation_there_are_no_phases_cuts_or_actions():
    clip = generate_clip(2, 4, SIZE)
    assert (clip.phase_ids == -1).all() and not clip.cuts.any() and clip.in_body.all()
    assert (clip.actions[0] == -1).all() and clip.triplets(1) == []


def test_triplets_are_of_the_script_and_in_sight():
    from surgjax.synthetic.procedure import PHASES, TRIPLETS

    table = {line[:3] for hands in TRIPLETS.values() for hand in hands.values() for line in hand}
    told = 0
    for seed in range(4):
        clip = generate_clip(seed, 40, SIZE, PRESETS["surgery"])
        assert 0 <= clip.phase_ids.min() and clip.phase_ids.max() < len(PHASES)
        for t in range(40):
            names = {n for n, seen in zip(clip.object_names, clip.visible[t], strict=True) if seen}
            for triplet in clip.triplets(t):
                assert triplet in table and triplet[2] in names
                told += 1
    assert told > 60


def test_a_stream_starts_again_from_the_beginning():
    stream = stream_clip(4, 3, SIZE, PRESETS["surgery"])
    sums = [hashlib.sha256(f.picture.frame_u8).hexdigest() for _ in range(2) for f in stream]
    assert sums[:3] == sums[3:]


def test_a_long_operation_is_never_in_memory_as_a_whole():
    """Three thousand frames would take 12 MB for each of many arrays; the stream stays below 40."""
    tracemalloc.start()
    stream = stream_clip(1, 3000, 32, PRESETS["surgery"])
    pictures, phases = iter(stream), set()
    for _ in range(60):
        phases.add(next(pictures).phase_id)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6
    assert len(np.unique(stream.facts.phase_ids)) == 7


_CHILD = """
import hashlib, sys
from surgjax.synthetic import PRESETS, annotators, generate_clip
from surgjax.synthetic.sites import site_config
total = hashlib.sha256()
for preset, seed in (("surgery", 5), ("wide", 6)):
    config = site_config(PRESETS[preset], 2)
    clip = generate_clip(seed, 4, 64, config, ("depth", "flow", "amodal"))
    for name in ("frames_u8", "label_maps", "part_maps", "depth_mm", "flow_px", "flow_valid",
                 "amodal_masks", "boxes_xyxy", "track_ids", "phase_ids", "cuts", "in_body"):
        total.update(getattr(clip, name).tobytes())
    total.update(repr((clip.object_names, clip.expressions, clip.triplets(1))).encode())
    for rater in annotators.RATERS:
        total.update(annotators.annotate_clip(clip.label_maps, rater, 1).tobytes())
print(total.hexdigest())
"""


def test_another_process_with_another_hash_seed_makes_the_same_bytes():
    sums = []
    for hash_seed in ("0", "12345"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", _CHILD], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        sums.append(done.stdout.strip())
    assert sums[0] == sums[1] and len(sums[0]) == 64


def test_unknown_truth_and_senseless_sizes_are_refused():
    with pytest.raises(ValueError, match="truth: expected some of"):
        generate_clip(0, 2, SIZE, truth=("normals",))
    with pytest.raises(ValueError, match="Expected seed >= 0"):
        stream_clip(0, 0, SIZE)
