"""Depth agrees with the painting: what is in front is nearer, everywhere and in every frame."""

import numpy as np
import pytest

from surgjax.synthetic import PRESETS, generate_clip
from surgjax.synthetic.depth import focal_px
from surgjax.synthetic.stream import ClipStream

SIZE = 96


def _surfaces(preset, seed, frames=6, **changes):
    stream = ClipStream(seed, frames, SIZE, PRESETS[preset].replace(**changes), truth=("depth",))
    for t in range(frames):
        layers = []
        stream.scene.render(t, layers)
        yield stream, t, layers, *stream._depth.surfaces(t, layers)


@pytest.mark.parametrize("preset", ["wide", "simple", "surgery"])
def test_wherever_objects_overlap_the_one_painted_later_is_nearer(preset):
    overlaps = 0
    for seed in range(4):
        for _, _, _, seen, whole in _surfaces(preset, seed, instruments=(2, 4)):
            for index, (mask, depth) in whole.items():
                for other, (other_mask, other_depth) in whole.items():
                    both = mask & other_mask
                    if other > index and both.any():
                        overlaps += 1
                        assert (other_depth[both] < depth[both]).all()
            nearest = np.full_like(seen, np.inf)
            for mask, depth in whole.values():
                nearest[mask] = np.minimum(nearest[mask], depth[mask])
            covered = np.isfinite(nearest)
            np.testing.assert_array_equal(seen[covered], nearest[covered])
    assert overlaps > 20


@pytest.mark.parametrize("preset", ["wide", "surgery"])
def test_labels_follow_from_depth(preset):
    """The label of a pixel is that of the nearest surface among the whole masks."""
    for seed in range(3):
        for stream, t, layers, _, whole in _surfaces(preset, seed):
            labels = stream.scene.render(t)[1]
            best, depth_of = np.zeros_like(labels), np.full(labels.shape, np.inf, np.float32)
            for index, (mask, depth) in whole.items():
                kind = stream.scene.objects[index].kind
                nearer = mask & (depth < depth_of)
                best[nearer] = 0 if kind == "unlabelled" else index + 1
                depth_of[nearer] = depth[nearer]
            np.testing.assert_array_equal(best, labels)
            assert layers


def test_depth_is_in_a_plausible_range_and_0_only_behind_the_rim():
    config = PRESETS["surgery"].replace(p_scope_circle=1.0)
    for seed in range(3):
        clip = generate_clip(seed, 6, SIZE, config, truth=("depth",))
        assert clip.depth_mm.dtype == np.float32
        hidden = clip.depth_mm == 0
        assert hidden[:, 0, 0].all() and not hidden[:, 48, 48].any()
        assert np.median(clip.frames_u8[hidden]) <= 2  # the rim is soft, JPEG smears a little
        assert 10 < clip.depth_mm[~hidden].min() and clip.depth_mm.max() < 180


def test_organs_bulge_and_instruments_come_nearer_towards_their_port():
    rises, bulges = [], []
    for seed in range(8):
        for stream, t, layers, _, whole in _surfaces("surgery", seed, 2, shaft_taper=(1.8, 2.2)):
            for index, (mask, depth) in whole.items():
                thing = stream.scene.objects[index]
                if thing.kind == "anatomy" and mask.sum() > 200:
                    inner = np.unravel_index(np.argmin(np.where(mask, depth, np.inf)), mask.shape)
                    bulges.append(depth[mask].max() - depth[inner])
                shafts = [x for x in layers if x.index == index and x.piece.part == 1]
                if thing.pose is None or not shafts or not mask.any():
                    continue
                rows, columns = np.nonzero(mask)
                back = -np.stack([np.cos(thing.pose.theta[t]), np.sin(thing.pose.theta[t])])
                carried = stream.scene.carry[t][:2, :2] @ back
                along = np.stack([columns, rows], -1) @ carried
                if np.ptp(along) > 25:
                    rises.append(
                        depth[rows, columns][along.argmin()] - depth[rows, columns][along.argmax()]
                    )
    assert len(rises) > 8 and np.mean(np.array(rises) > 0) > 0.9
    assert np.median(rises) > 2  # mm over what is in view
    assert np.median(bulges) > 2


def test_an_instrument_does_not_jump_nearer_or_farther():
    """Lifting over what it crosses eases in: depth at a tool changes slowly between frames."""
    steps = []
    for seed in range(4):
        config = PRESETS["surgery"].replace(p_cut=0.0, view_frames=(0, 0))
        clip = generate_clip(seed, 24, SIZE, config, truth=("depth",))
        for index, kind in enumerate(clip.object_classes):
            if kind == "anatomy":
                continue
            for t in range(23):
                both = (clip.label_maps[t : t + 2] == index + 1).all(0)
                if both.sum() > 60:
                    change = clip.depth_mm[t + 1][both] - clip.depth_mm[t][both]
                    steps.append(abs(np.median(change)))
    assert len(steps) > 60
    assert np.percentile(steps, 95) < 4 and np.median(steps) < 0.6  # mm a frame


def test_zooming_in_brings_the_camera_nearer():
    views = [(1.0, 1.0), (1.4, 1.4)]
    depths = []
    for zoom in views:
        config = PRESETS["surgery"].replace(
            view_zoom=zoom, view_shift=(0.0, 0.0), view_rotation=(0.0, 0.0), p_cut=0.0
        )
        clip = generate_clip(3, 1, SIZE, config, truth=("depth",))
        depths.append(np.median(clip.depth_mm))
    assert depths[1] / depths[0] == pytest.approx(1 / 1.4, rel=0.06)


def test_focal_length_by_hand():
    assert focal_px(256) == pytest.approx(182.8, abs=0.1)  # 128 / tan 35 degrees
