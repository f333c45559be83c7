"""Flow is where things went: by hand, by warped masks, by warped pictures."""

import cv2
import numpy as np
import pytest

from surgjax.synthetic import PRESETS, flow, generate_clip
from surgjax.synthetic.stream import ClipStream

SIZE = 128
OPEN = dict(p_scope_circle=0.0, p_bars=0.0, p_tissue_flap=0.0, p_thread=0.0)


def carried_by(flow_px: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mask where its flow leads, [S, S] bool: pixels that its pieces cover by half."""
    side = len(mask)
    rows, columns = np.nonzero(mask)
    target = flow_px[rows, columns].astype(float) + np.stack([columns, rows], -1)
    low = np.floor(target).astype(int)
    cover = np.zeros((side, side))
    for dx in (0, 1):
        for dy in (0, 1):
            corner = low + (dx, dy)
            share = (1 - np.abs(target - corner)).prod(-1)
            inside = ((corner >= 0) & (corner < side)).all(-1)
            np.add.at(cover, (corner[inside, 1], corner[inside, 0]), share[inside])
    return cover >= 0.5


def grown(mask: np.ndarray, reach: int) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0


def warped_mask_scores(clip) -> tuple[float, list[float]]:
    """IoU over all pixels together, and of each object and pair of frames of 40 px and more.

    A mask of frame t carried by the flow, against the mask of frame t + 1. Left out is only where
    the object may have been hidden or out of view: near what is painted over it in either frame,
    as the whole (amodal) masks say, and near the border of the frame; near is as far as the object
    moves. The validity that comes with the flow is not used.
    """
    scores, common, either = [], 0, 0
    for t in np.flatnonzero(~clip.cuts[1:]):
        for index in range(len(clip.object_ids)):
            before, after = (clip.label_maps[s] == index + 1 for s in (t, t + 1))
            if not before.any():
                continue
            reach = int(np.ceil(np.abs(clip.flow_px[t][before]).max())) + 1
            unsure = grown(clip.amodal_masks[t, index + 1 :].any(0), reach)
            unsure |= grown(clip.amodal_masks[t + 1, index + 1 :].any(0), 1)
            edge = np.ones_like(unsure)
            edge[reach:-reach, reach:-reach] = False
            sure = ~(unsure | edge)
            carried, after = carried_by(clip.flow_px[t], before) & sure, after & sure
            union = (carried | after).sum()
            if union >= 40:
                common, either = common + (carried & after).sum(), either + union
                scores.append((carried & after).sum() / union)
    return common / either, scores


@pytest.mark.parametrize("preset", ["wide", "clear", "simple", "surgery", "abdomen"])
def test_a_warped_mask_is_the_next_mask_outside_occlusion(preset):
    total, scores = [], []
    for seed in range(3):
        config = PRESETS[preset].replace(**OPEN)
        clip = generate_clip(seed, 12, SIZE, config, truth=("flow", "amodal"))
        iou, each = warped_mask_scores(clip)
        total.append(iou)
        scores += each
    print(
        f"{preset}: IoU of warped masks {np.mean(total):.4f} over all pixels; {len(scores)} masks, "
        f"median {np.median(scores):.4f}, 5th percentile {np.percentile(scores, 5):.4f}"
    )
    assert len(scores) > 40
    assert min(total) > 0.95
    assert np.median(scores) > 0.96
    assert np.percentile(scores, 5) > 0.85


def test_flow_that_is_a_pixel_wrong_would_be_noticed():
    """The figure above can fall: a flow turned round, or none at all, scores clearly lower."""
    config = PRESETS["surgery"].replace(**OPEN, p_cut=0.0, view_frames=(2, 3))
    clip = generate_clip(2, 12, SIZE, config, truth=("flow", "amodal"))
    moving = np.abs(clip.flow_px).max((1, 2, 3)) > 3
    assert moving.any()
    right, _ = warped_mask_scores(clip)
    clip.flow_px[:] = -clip.flow_px
    wrong, _ = warped_mask_scores(clip)
    assert right > 0.96 and wrong < right - 0.03


def test_the_picture_moves_with_the_flow():
    """Without shadows and optics, what is at p is the same colour as at p + flow in the next."""
    errors, still_errors = [], []
    for preset, seed in (("clear", 1), ("clear", 2), ("surgery", 3), ("surgery", 4)):
        stream = ClipStream(seed, 8, SIZE, PRESETS[preset].replace(p_shadow=0.0))
        scene = stream.scene
        layers = [[] for _ in range(8)]
        images = [scene.render(t, layers[t])[0] for t in range(8)]
        for t in range(7):
            owners = [flow.owner_map(scene, layers[s], None) for s in (t, t + 1)]
            field, valid = flow.forward(scene, t, *owners)
            grid = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)[::-1].transpose(1, 2, 0)
            target = grid + field
            warped = cv2.remap(images[t + 1], target[..., 0], target[..., 1], cv2.INTER_LINEAR)
            calm = ~grown(cv2.Laplacian(owners[0].astype(np.float32), cv2.CV_32F) != 0, 2)
            if valid.any():
                errors.append(np.abs(warped - images[t])[valid & calm].mean())
                still_errors.append(np.abs(images[t + 1] - images[t])[valid & calm].mean())
    print(f"mean colour error {np.mean(errors):.4f}, without flow {np.mean(still_errors):.4f}")
    assert np.mean(errors) < 0.012
    assert np.mean(errors) < 0.5 * np.mean(still_errors)


def test_tissue_flow_lands_on_the_same_canvas_pixel():
    """Carrying a pixel by the flow and asking the next frame's map gives the pixel of before."""
    for preset in ("wide", "surgery"):
        config = PRESETS[preset].replace(breathing=(0.012, 0.012))
        scene = ClipStream(7, 6, SIZE, config).scene
        blank = np.zeros((SIZE, SIZE), np.uint16)
        for t in range(5):
            field, _ = flow.forward(scene, t, blank, blank)
            grid = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)[::-1].transpose(1, 2, 0)
            target = grid + field
            inside = ((target >= 0) & (target <= SIZE - 1)).all(-1)
            for before, after in zip(scene.canvas_map(t), scene.canvas_map(t + 1), strict=True):
                got = cv2.remap(after, target[..., 0], target[..., 1], cv2.INTER_LINEAR)
                assert np.abs(got - before)[inside].max() < 0.05


def test_over_a_cut_and_behind_the_rim_nothing_is_valid():
    config = PRESETS["surgery"].replace(p_cut=1.0, view_frames=(4, 6), p_scope_circle=1.0)
    clip = generate_clip(0, 16, SIZE, config, truth=("flow",))
    cuts = np.flatnonzero(clip.cuts)
    assert len(cuts) >= 2 and clip.cuts[0] == 0
    for t in cuts:
        assert not clip.flow_valid[t - 1].any() and not clip.flow_px[t - 1].any()
    between = np.setdiff1d(np.arange(15), cuts - 1)
    assert (clip.flow_valid[between].mean((1, 2)) > 0.3).all()
    assert not clip.flow_valid[:, 0, 0].any() and not clip.flow_px[:, 0, 0].any()


def test_a_piece_by_hand():
    """A shift by (3, -2) of one piece is a flow of (3, -2) there and 0 on still tissue."""
    still = dict(camera_shift=(0.0, 0.0), camera_rotation=(0.0, 0.0), breathing=(0.0, 0.0))
    scene = ClipStream(1, 2, 64, PRESETS["clear"].replace(**still)).scene
    scene.carry[:] = np.eye(3)
    scene.canvas_matrices[1] = scene.canvas_matrices[0]
    piece = scene.objects[0].pieces[0]
    piece.matrices[1] = [[1, 0, 3], [0, 1, -2], [0, 0, 1]] @ piece.matrices[0]
    owner = np.zeros((64, 64), np.uint16)
    owner[20:30, 10:40] = 1
    after = np.zeros_like(owner)
    after[18:28, 13:35] = 1  # its right end is hidden
    field, valid = flow.forward(scene, 0, owner, after)
    np.testing.assert_allclose(field[owner == 1], np.tile((3, -2), (300, 1)), atol=1e-4)
    np.testing.assert_allclose(field[owner == 0], 0, atol=1e-4)
    assert valid[20:30, 10:32].all() and not valid[20:30, 32:40].any()
