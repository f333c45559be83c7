"""Masks on disk: values, overlaps, two passes, and a disk without room."""

import errno
import os

import numpy as np
import pytest
from PIL import Image

from surgjax.inference import mask_writer

SIZE = (4, 6)


def _logits(*rows):
    """One (H, W) mask per object, each a constant value per column."""
    return np.stack([np.tile(np.array(row, np.float32), (SIZE[0], 1)) for row in rows])[:, None]


def _writer(tmp_path, ids=(3, 200), frames=4, **options):
    return mask_writer.MaskWriter(tmp_path, ids, frames, SIZE, **options)


def _columns(writer, frame_index):
    label_map = writer.read(frame_index)
    assert (label_map == label_map[0]).all()
    return label_map[0].tolist()


def test_davis_palette():
    palette = np.frombuffer(mask_writer.davis_palette(), np.uint8).reshape(256, 3)
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128)}
    known |= {8: (64, 0, 0), 9: (192, 0, 0), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {value: tuple(palette[value].tolist()) for value in known} == known


def test_values_are_ids_and_the_highest_logit_wins(tmp_path):
    writer = _writer(tmp_path)
    writer.add(2, [3, 200], _logits([5, 5, 1, -1, -1, 0], [-2, 7, 2, 3, -3, -1]))
    with Image.open(tmp_path / "masks" / "00002.png") as image:
        assert image.mode == "P" and image.size == (6, 4)
        assert bytes(image.getpalette()[3:6]) == bytes([128, 0, 0])
    assert _columns(writer, 2) == [3, 200, 200, 200, 0, 0]  # logit 0 is no mask
    assert writer.present[2].tolist() == [True, True]
    assert writer.tracked.sum() == 2 and writer.written.tolist() == [False, False, True, False]


def test_order_of_objects_is_that_of_the_call(tmp_path):
    writer = _writer(tmp_path)
    writer.add(0, [200, 3], _logits([5] * 6, [-5] * 6))
    assert _columns(writer, 0) == [200] * 6


def test_score_is_the_mean_probability_inside_the_own_mask(tmp_path):
    writer = _writer(tmp_path)
    writer.add(0, [3, 200], _logits([2, 2, -9, -9, -9, -9], [-1024] * 6))
    assert writer.scores(0) == {3: pytest.approx(1 / (1 + np.exp(-2)), abs=1e-3)}
    assert writer.present[0].tolist() == [True, False]


def test_fill_writes_zeros_where_nothing_was_tracked(tmp_path):
    writer = _writer(tmp_path, per_object=True)
    writer.add(1, [3], _logits([1] * 6))
    writer.fill([0, 1, 2])
    assert [_columns(writer, t) for t in (0, 1, 2)] == [[0] * 6, [3] * 6, [0] * 6]
    assert not (tmp_path / "masks" / "00003.png").exists()
    for object_id, want in ((3, [0, 3, 0]), (200, [0, 0, 0])):
        folder = tmp_path / "masks_per_object" / str(object_id)
        assert sorted(p.name for p in folder.iterdir()) == ["00000.png", "00001.png", "00002.png"]
        got = [int(mask_writer.read_palette_png(folder / f"{t:05d}.png").max()) for t in range(3)]
        assert got == want


def test_per_object_masks_keep_what_an_overlap_hides(tmp_path):
    writer = _writer(tmp_path, per_object=True)
    writer.add(0, [3, 200], _logits([5] * 6, [9] * 6))
    assert _columns(writer, 0) == [200] * 6
    own = mask_writer.read_palette_png(tmp_path / "masks_per_object" / "3" / "00000.png")
    assert (own == 3).all()


def test_second_pass_adds_objects_that_were_not_tracked_before(tmp_path):
    writer = _writer(tmp_path, merge=True)
    nowhere = [-1024] * 6
    writer.add(1, [3, 200], _logits([5, 5, 2, -1, -1, -1], nowhere))
    assert _columns(writer, 1) == [3, 3, 3, 0, 0, 0]
    # 200 is new and competes pixel by pixel; the new values of 3 do not count.
    writer.add(1, [3, 200], _logits([-9] * 6, [-1, 4, 6, 1, -1, -1]))
    assert _columns(writer, 1) == [3, 3, 200, 200, 0, 0]
    assert writer.tracked[1].all()
    writer.add(1, [3, 200], _logits([9] * 6, [9] * 6))  # both are known now
    assert _columns(writer, 1) == [3, 3, 200, 200, 0, 0]
    writer.add(0, [200], _logits([1] * 6))
    assert _columns(writer, 0) == [200] * 6
    assert (tmp_path / "logits").is_dir()
    writer.drop_logits()
    assert not (tmp_path / "logits").exists()


def test_merged_passes_equal_all_objects_at_once(tmp_path):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 1, *SIZE)).astype(np.float32)
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    once = mask_writer.MaskWriter(tmp_path / "a", (1, 2), 1, SIZE)
    once.add(0, [1, 2], logits)
    twice = mask_writer.MaskWriter(tmp_path / "b", (1, 2), 1, SIZE, merge=True)
    twice.add(0, [1], logits[:1])
    twice.add(0, [2], logits[1:])
    np.testing.assert_array_equal(once.read(0), twice.read(0))


def test_an_empty_second_pass_changes_nothing(tmp_path):
    writer = _writer(tmp_path, merge=True)
    writer.add(0, [3], _logits([1] * 6))
    writer.add(0, [], np.zeros((0, 1, *SIZE), np.float32))
    assert _columns(writer, 0) == [3] * 6


def test_logits_of_another_shape_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"frame 0: mask logits \(1, 1, 4, 6\) for 2 objects"):
        _writer(tmp_path).add(0, [3, 200], _logits([1] * 6))


def test_label_map_of_another_type_is_refused(tmp_path):
    with pytest.raises(ValueError, match="uint8"):
        mask_writer.write_palette_png(tmp_path / "m.png", np.zeros(SIZE, np.int32))


def test_full_disk_leaves_no_half_written_file(tmp_path, monkeypatch):
    writer = _writer(tmp_path)
    writer.add(0, [3], _logits([1] * 6))

    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        writer.add(1, [3], _logits([1] * 6))
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["00000.png"]
    assert writer.written.tolist() == [True, False, False, False]


@pytest.mark.parametrize("commit", [0, 1])
def test_a_frame_of_the_second_pass_that_comes_again_after_a_kill(tmp_path, monkeypatch, commit):
    """Killed before or after its logits were written, but before its mask was: no trace is left."""
    first, second = _logits([5, 5, 2, 1, -1, -1]), _logits([4, 6, 6, 1, 3, -1])
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        writer = _writer(tmp_path / name, merge=True)
        writer.add(1, [3], first)
        state = {key: value.copy() for key, value in writer.state().items()}
        if name == "whole":
            writer.add(1, [200], second)
            continue
        real, calls = os.replace, []

        def replace(source, target, real=real, calls=calls):
            calls.append(target)
            if len(calls) > commit:
                raise KeyboardInterrupt
            real(source, target)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", replace)
            with pytest.raises(KeyboardInterrupt):
                writer.add(1, [200], second)
        again = _writer(tmp_path / name, merge=True)
        again.restore(state)
        again.add(1, [200], second)
        assert again.scores(1) == pytest.approx({3: 0.900, 200: 0.932}, abs=0.002)
        assert _columns(again, 1) == [3, 200, 200, 3, 200, 0]
    for part in ("masks/00001.png", "logits/00001.z"):
        whole, killed = ((tmp_path / name / part).read_bytes() for name in ("whole", "killed"))
        assert whole == killed


def test_a_state_of_another_video_is_refused(tmp_path):
    state = _writer(tmp_path).state()
    with pytest.raises(ValueError, match=r"state of masks: tracked: bool \(9, 2\) expected"):
        _writer(tmp_path, frames=9).restore(state)
    state["written"] = np.ones(4, bool)
    with pytest.raises(ValueError, match="00000.png was written by the earlier part of this run"):
        _writer(tmp_path).restore(state)
