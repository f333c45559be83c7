"""Shards, which objects are drawn, and augmentation that moves frame and masks together."""

import jax
import numpy as np
import pytest

from surgjax.train import scene_batches
from surgjax.train.scene_batches import BatchOptions, ShardFolder, draw_objects, draw_scene

SIDE = 64


def _scene(frames):
    """Object 1: a bright square that moves right; object 2: a dark bar in two pieces."""
    images = np.full((frames, SIDE, SIDE, 3), 120, np.uint8)
    labels = np.zeros((frames, SIDE, SIDE), np.uint8)
    parts = np.zeros((frames, SIDE, SIDE), np.uint8)
    for t in range(frames):
        square = np.s_[t, 10:26, 8 + 2 * t : 24 + 2 * t]
        images[square], labels[square] = 250, 1
        parts[t, 10:18, 8 + 2 * t : 24 + 2 * t] = 3
        for rows in (slice(40, 46), slice(52, 58)):
            images[t, rows, 10:54], labels[t, rows, 10:54] = 5, 2
    return images, labels, parts


def _write(folder, kind, seeds=(0, 1)):
    made = [_scene(1 if kind == "image" else 6) for _ in seeds]
    frames, labels, parts = (np.stack(x) for x in zip(*made, strict=True))
    if kind == "image":
        arrays = {"images": frames[:, 0], "labels": labels[:, 0], "parts": parts[:, 0]}
    else:
        arrays = {"frames": frames, "labels": labels, "parts": parts}
    np.savez(folder / f"{kind}s_00000.npz", seeds=np.array(seeds), **arrays)
    return ShardFolder([folder], kind)


def test_parts_and_components_are_objects_of_images_only():
    _, labels, parts = _scene(1)
    drawn = draw_objects(np.random.default_rng(0), labels[0], parts[0], 8, whole=False)
    kinds = {(label, part, component is not None) for label, part, component in drawn}
    assert kinds == {(1, None, False), (2, None, False), (1, 3, False), (2, None, True)}
    areas = sorted(int(c.sum()) for _, _, c in drawn if c is not None)
    assert areas == [264, 264]
    assert len(draw_objects(np.random.default_rng(0), labels[0], parts[0], 8, whole=True)) == 2


def test_slots_know_their_row_of_the_bank(tmp_path):
    _write(tmp_path, "image")
    with np.load(tmp_path / "images_00000.npz") as found:
        arrays = dict(found)
    rows = {"grasper": 0, "hook": 4}
    with pytest.raises(ValueError, match="keys .'names'. are missing"):
        ShardFolder([tmp_path], "image", classes=rows)
    names = np.array([["hook", "liver"], ["grasper", ""]])
    np.savez(tmp_path / "images_00000.npz", **{**arrays, "names": names})
    shards = ShardFolder([tmp_path], "image", classes=rows)
    options = BatchOptions(size=SIDE, batch=3, objects=6)
    found = scene_batches.scene_batch(shards, options, 1, 0).arrays
    assert found.object_class.shape == (3, 6) and found.object_class.dtype == np.int32
    assert set(found.object_class.ravel().tolist()) == {-1, 0, 4}
    # The same scenes with and without classes.
    plain = scene_batches.scene_batch(ShardFolder([tmp_path], "image"), options, 1, 0).arrays
    assert plain.object_class is None
    np.testing.assert_array_equal(plain.masks, found.masks)


def test_parts_have_no_class():
    chosen = [(1, None, None), (2, None, np.ones(3)), (1, 3, None)]
    found = scene_batches.slot_classes(np.array([7, 8], np.int32), chosen, 5)
    assert found.tolist() == [7, 8, -1, 7, 8]


def test_masks_follow_the_pixels(tmp_path):
    shards = _write(tmp_path, "image")
    rng = np.random.default_rng(1)
    options = BatchOptions("image", size=64, objects=2)
    seen = 0
    for _ in range(20):
        frames, masks, valid, _, classes = draw_scene(rng, shards, options)
        assert classes.shape == (1, 64, 64) and classes.max() <= 5
        assert frames.shape == (1, 64, 64, 3) and masks.shape == (1, 2, 64, 64) and valid.all()
        for mask in masks[0]:
            inside, outside = frames[0][mask].mean(), frames[0][~masks[0].any(0)].mean()
            seen += abs(inside - outside) > 15
    assert seen > 30  # 40 masks, some greyed by a strong colour draw


def test_clip_keeps_identity_and_true_distances(tmp_path):
    shards = _write(tmp_path, "clip")
    rng = np.random.default_rng(0)
    options = BatchOptions("clip", size=64, objects=3, frames=3)
    directions = set()
    for _ in range(20):
        frames, masks, valid, index, _ = draw_scene(rng, shards, options)
        assert frames.shape[0] == 3 and masks.shape == (3, 3, 64, 64)
        assert not valid[2] and masks[0, 0].any()
        steps = np.diff(index)
        assert (steps > 0).all() or (steps < 0).all()
        assert index.min() >= 0 and index.max() < 6
        directions.add(bool(steps[0] > 0))
    assert directions == {True, False}


def test_dense_classes_name_parts_other_objects_and_edges():
    _, labels, parts = _scene(1)
    classes = scene_batches.dense_classes(labels[0], parts[0])
    assert classes[0, 0] == 0 and classes[14, 14] == 3 and classes[42, 30] == 4
    assert classes[10, 14] == 5 and classes[9, 14] == 5 and classes[7, 14] == 0


def test_batches_are_stacked(tmp_path):
    shards = _write(tmp_path, "image")
    source = scene_batches.scene_batches(shards, BatchOptions("image", 32, batch=3, objects=2), 0)
    batch, sources = next(source)
    assert len(sources) == 3 and {s["scenes"][0] for s in sources} <= {0, 1}
    assert batch.frames.shape == (3, 1, 32, 32, 3) and batch.frames.dtype == np.uint8
    assert batch.masks.shape == (3, 1, 2, 32, 32) and batch.frame_index.shape == (3, 1)


@pytest.mark.parametrize("kind", ["image", "clip"])
def test_a_batch_does_not_depend_on_where_the_source_was_opened(tmp_path, kind):
    shards = _write(tmp_path, kind)
    clip = {"frames": 3, "p_cut": 0.5} if kind == "clip" else {}
    options = BatchOptions(kind, 32, batch=2, objects=2, **clip)
    first = scene_batches.scene_batches(shards, options, 5)
    whole = [next(first) for _ in range(4)]
    later = scene_batches.scene_batches(shards, options, 5, start=2)
    for batch in whole[2:]:
        again = next(later)
        jax.tree.map(np.testing.assert_array_equal, batch.arrays, again.arrays)
        assert batch.sources == again.sources
    assert whole[0].sources != whole[1].sources
    parts = [
        next(scene_batches.scene_batches(shards, options, 5, rows=range(k, k + 1))) for k in (0, 1)
    ]
    assert parts[0].sources + parts[1].sources == whole[0].sources
    joined = jax.tree.map(lambda *rows: np.concatenate(rows), *(part.arrays for part in parts))
    jax.tree.map(np.testing.assert_array_equal, joined, whole[0].arrays)


def test_new_shards_are_taken_up(tmp_path):
    shards = _write(tmp_path, "image")
    (tmp_path / "images_00000.npz").rename(tmp_path / "images_00001.npz")
    shards.refresh()
    assert len(shards) == 4


def test_held_out_scenes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="seed 10000000 is held out"):
        _write(tmp_path, "image", seeds=(3, scene_batches.HELD_OUT))


def test_missing_shards_and_keys_are_named(tmp_path):
    with pytest.raises(ValueError, match="no clips_"):
        ShardFolder([tmp_path], "clip")
    np.savez(tmp_path / "clips_00000.npz", frames=np.zeros(1))
    with pytest.raises(ValueError, match=r"keys \['labels', 'parts', 'seeds'\] are missing"):
        ShardFolder([tmp_path], "clip")


def test_a_cut_shows_the_other_scene_without_the_objects():
    rng = np.random.default_rng(0)

    def scene(value):
        return (
            np.full((4, 8, 8, 3), value, np.uint8),
            np.ones((4, 2, 8, 8), bool),
            np.ones(2, bool),
            np.arange(4, dtype=np.int32),
            np.full((4, 8, 8), value, np.uint8),
        )

    returned = 0
    for _ in range(40):
        frames, masks, valid, index, classes = scene_batches.cut_away(rng, scene(1), scene(2))
        away = frames[:, 0, 0, 0] == 2
        assert away.any() and not away[0] and valid.all() and list(index) == [0, 1, 2, 3]
        np.testing.assert_array_equal(masks.any((1, 2, 3)), ~away)
        np.testing.assert_array_equal(classes[:, 0, 0] == 2, away)
        returned += not away[-1]
    assert 5 < returned < 35


def test_share_of_cut_clips(tmp_path):
    shards = _write(tmp_path, "clip")
    options = BatchOptions("clip", size=32, batch=64, objects=2, frames=3, p_cut=0.5)
    batch = next(scene_batches.scene_batches(shards, options, seed=0)).arrays
    absent = ~batch.masks.any((2, 3, 4)).all(1)
    assert 16 < absent.sum() < 48
