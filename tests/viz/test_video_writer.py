"""The H.264 writer: sizes, rate, order, and a disk without room."""

import errno
import os

import av
import numpy as np
import pytest

from surgjax.viz import result_pictures, video_writer


def _write(path, frames, fps, size):
    writer = video_writer.VideoWriter(path, fps, *size)
    for index in range(frames):
        writer.write(np.full((*size, 3), 10 + 10 * index, np.uint8))
    writer.close()
    writer.close()  # a second time does nothing


@pytest.mark.parametrize("fps", [5, 25.0, 29.97, 30000 / 1001])
def test_what_was_written_comes_back(tmp_path, fps):
    _write(tmp_path / "v.mp4", 12, fps, (48, 64))
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
        assert float(stream.average_rate) == pytest.approx(fps, rel=1e-4)
        grey = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(stream)]
    np.testing.assert_allclose(grey, 10 + 10 * np.arange(12), atol=3)


def test_odd_sizes_gain_one_row_or_column(tmp_path):
    _write(tmp_path / "v.mp4", 2, 25, (47, 63))
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.height, stream.codec_context.width) == (48, 64)


def test_frame_of_another_size_is_refused(tmp_path):
    writer = video_writer.VideoWriter(tmp_path / "v.mp4", 25, 48, 64)
    with pytest.raises(ValueError, match=r"\(48, 64, 3\) expected, uint8 \(48, 60, 3\) found"):
        writer.write(np.zeros((48, 60, 3), np.uint8))
    writer.discard()
    assert not (tmp_path / "v.mp4").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_full_disk_is_an_os_error_with_its_number(tmp_path):
    (tmp_path / "v.mp4").symlink_to("/dev/full")  # every write there finds no space
    noise = np.random.default_rng(0)
    writer = video_writer.VideoWriter(tmp_path / "v.mp4", 25, 240, 320)
    with pytest.raises(OSError, match="No space left") as caught:
        for _ in range(60):
            writer.write(noise.integers(0, 255, (240, 320, 3), np.uint8))
        writer.close()
    assert caught.value.errno == errno.ENOSPC
    writer.discard()
    assert not (tmp_path / "v.mp4").is_symlink()


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        writer = video_writer.VideoWriter(tmp_path / "gone" / "v.mp4", 25, 48, 64)
        writer.write(np.zeros((48, 64, 3), np.uint8))
        writer.close()


def test_pictures_of_a_result(tmp_path):
    pictures = result_pictures.ResultPictures(tmp_path, range(3), (48, 64), 25, {1: "a"})
    for index in range(3):
        frame = np.zeros((48, 64, 3), np.uint8)
        pictures.add(index, frame, np.eye(48, 64, dtype=np.uint8), {1: 0.5}, [])
    pictures.close()
    pictures.save_sheet()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["overlay.mp4", "sheet.png"]


def test_overlay_without_room_is_removed_not_left_broken(tmp_path, monkeypatch):
    pictures = result_pictures.ResultPictures(tmp_path, range(3), (48, 64), 25, {})

    def no_space(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pictures.video, "write", no_space)
    with pytest.raises(OSError, match="No space left"):
        pictures.add(0, np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8), {}, [])
    assert not (tmp_path / "overlay.mp4").exists()
