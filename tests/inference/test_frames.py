"""Frame sources: which frame an index means, how much is kept, and what each bad input says."""

import logging
import struct
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageOps

from surgjax.inference import frame_source, image_files
from surgjax.inference.frames import FrameReadError, open_video, resize_for_model
from surgjax.viz.video_writer import VideoWriter

WIDTH, HEIGHT, FRAMES = 64, 48, 40


def _shade(index: int) -> int:
    """The grey of frame `index`: steps of 6, wider than what compression changes."""
    return 10 + 6 * (index % FRAMES)


def _index_of(frame: np.ndarray) -> int:
    return round((float(frame.mean()) - 10) / 6)


def _write_video(
    path, frames=FRAMES, codec="libx264", times_ms=None, rotation=0, faststart=False, picture=None
):
    """Grey frames that tell their own index, with B-frames and a key frame every 12."""
    options = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = 12
        stream.codec_context.time_base = Fraction(1, 1000)
        if codec == "libx264":
            stream.codec_context.max_b_frames = 2
        else:
            stream.bit_rate = 10**8  # or its rate control loses the greys
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(frames):
            pixels = np.full((HEIGHT, WIDTH, 3), _shade(index), np.uint8)
            frame = av.VideoFrame.from_ndarray(
                pixels if picture is None else picture, format="rgb24"
            )
            frame.pts = times_ms[index] if times_ms else 100 * index
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _overwrite_packet(path, number, value=0):
    """Damages one compressed frame in place; returns nothing the reader could know."""
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    position, size = packets[number]
    data = bytearray(path.read_bytes())
    data[position : position + size] = bytes([value]) * size
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "mpeg4.avi"])
def test_every_frame_once_in_order_and_any_order(tmp_path, name):
    codec = "mpeg4" if name.startswith("mpeg4") else "libx264"
    video = open_video(_write_video(tmp_path / name, codec=codec))
    assert (video.num_frames, video.height, video.width) == (FRAMES, HEIGHT, WIDTH)
    assert video.fps == pytest.approx(10) and video.seekable
    forward = [frame.copy() for frame in video]
    assert [_index_of(frame) for frame in forward] == list(range(FRAMES))
    for index in [*reversed(range(FRAMES)), 7, 33, 0, 39, 12, 11, 13]:
        np.testing.assert_array_equal(video[index], forward[index])
    with pytest.raises(IndexError, match="frames 0 to 39"):
        video[FRAMES]


def test_variable_frame_rate_counts_frames_not_time(tmp_path):
    steps = [20, 300, 40, 40, 700] * 8
    times = np.cumsum([0, *steps[:-1]]).tolist()
    video = open_video(_write_video(tmp_path / "vfr.mp4", times_ms=times))
    assert video.num_frames == FRAMES
    assert [_index_of(video[index]) for index in (0, 39, 5, 4, 20)] == [0, 39, 5, 4, 20]


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_metadata_is_applied(tmp_path, rotation):
    stored = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stored[:16, :24] = 255  # white corner, top left as stored
    video = open_video(
        _write_video(tmp_path / "r.mp4", frames=3, rotation=rotation, picture=stored)
    )
    want = np.rot90(stored, rotation // 90)  # counter-clockwise, as the container says it
    assert (video.height, video.width) == want.shape[:2]
    assert np.abs(video[1].astype(int) - want).mean() < 8


def test_header_promises_more_than_the_file_holds(tmp_path, caplog):
    path = _write_video(tmp_path / "a.mp4", faststart=True)
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    position, size = packets[25]
    path.write_bytes(path.read_bytes()[: position + size // 2])
    with caplog.at_level(logging.WARNING):
        video = open_video(path)
    assert video.num_frames == 25
    assert "promises 40 frames, 25 are whole" in caplog.text
    assert len(list(video)) == video.num_frames


@pytest.mark.parametrize("order", ["forward", "backward"])
def test_damaged_frame_is_named_and_the_others_are_good(tmp_path, order):
    path = _write_video(tmp_path / "a.mp4")
    good = [frame.copy() for frame in open_video(path)]
    with av.open(str(path)) as container:
        times = [p.pts for p in container.demux(video=0) if p.size]
    packet = 21
    shown_at = sorted(times).index(times[packet])
    _overwrite_packet(path, packet)
    video = open_video(path)
    assert video.num_frames == FRAMES  # frames after the damage keep their index
    before = range(12, shown_at) if order == "forward" else reversed(range(12, shown_at))
    with pytest.raises(
        FrameReadError, match=f"frame {shown_at} of .*a.mp4 cannot be read"
    ) as caught:
        for index in [*before, shown_at]:
            np.testing.assert_array_equal(video[index], good[index])
    assert caught.value.frame_index == shown_at
    assert _index_of(video[39]) == 39


def test_reading_forward_decodes_each_frame_once(tmp_path, monkeypatch):
    video = open_video(_write_video(tmp_path / "a.mp4"))
    rewinds = []
    rewind = video._rewind
    monkeypatch.setattr(video, "_rewind", lambda *a, **k: (rewinds.append(a), rewind(*a, **k)))
    for index in range(FRAMES):
        assert video[index] is video[index]
    assert not rewinds
    monkeypatch.setattr(video._cache, "capacity", 6)
    for index in reversed(range(FRAMES)):
        video[index]
    assert len(rewinds) <= FRAMES / 4  # each step back keeps the frames on its way


def test_memory_stays_flat_over_a_long_video(tmp_path):
    path = _write_video(tmp_path / "long.mp4", frames=400, times_ms=[40 * i for i in range(400)])
    video = open_video(path)
    tracemalloc.start()
    for index in range(100):
        video[index]
    early = tracemalloc.get_traced_memory()[0]
    for index in range(100, 400):
        video[index]
    late = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert late - early < 10 * WIDTH * HEIGHT * 3  # 300 more frames would be 300 of these


def test_a_frame_of_the_cache_cannot_be_drawn_on(tmp_path):
    video = open_video(_write_video(tmp_path / "a.mp4", frames=3))
    with pytest.raises(ValueError, match="read-only"):
        video[0][:] = 0


def _write_images(folder, names, size=(8, 6)):
    folder.mkdir(exist_ok=True)
    for value, name in enumerate(names):
        Image.new("RGB", size, (value * 40,) * 3).save(folder / name)
    return folder


def _shown(folder):
    return [int(frame[0, 0, 0]) // 40 for frame in open_video(folder)]


def test_folder_order_integers_else_natural(tmp_path):
    assert _shown(_write_images(tmp_path / "i", ["10.png", "9.png", "0002.png"])) == [2, 1, 0]
    names = ["frame10.png", "frame9.png", "Frame2b.png", "a.png"]
    assert _shown(_write_images(tmp_path / "n", names)) == [3, 2, 1, 0]


def test_folder_takes_jpeg_and_png_and_ignores_the_rest(tmp_path, caplog):
    folder = _write_images(tmp_path / "f", ["1.png", "0.JPG", "._2.jpg"])
    (folder / "notes.txt").write_text("x")
    video = open_video(folder)
    assert (video.num_frames, video.width, video.height, video.fps) == (2, 8, 6, None)
    assert "mixes JPEG and PNG" in caplog.text


def test_folder_refuses_two_files_for_one_frame(tmp_path):
    with pytest.raises(ValueError, match="1.png and 01.png claim|01.png and 1.png claim"):
        open_video(_write_images(tmp_path / "f", ["1.png", "01.png"]))
    with pytest.raises(ValueError, match="a.jpg and a.png claim"):
        open_video(_write_images(tmp_path / "g", ["a.jpg", "a.png"]))


def test_folder_frame_that_is_no_image_or_of_another_size(tmp_path):
    folder = _write_images(tmp_path / "f", ["0.png", "1.png", "2.png"])
    (folder / "1.png").write_bytes(b"not a picture")
    Image.new("RGB", (5, 5)).save(folder / "2.png")
    video = open_video(folder)
    with pytest.raises(FrameReadError, match="frame 1 of .*1.png.*not an image") as caught:
        video[1]
    assert caught.value.frame_index == 1
    with pytest.raises(FrameReadError, match="frame 2 .*5x5 pixels .*first frame is 8x6"):
        video[2]


def test_exif_orientation_turns_a_photograph(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "p.jpg", exif=exif)
    video = open_video(tmp_path / "p.jpg")
    assert (video.num_frames, video.width, video.height) == (1, 10, 20)


def test_damaged_exif_is_a_frame_error(tmp_path, monkeypatch):
    Image.new("RGB", (20, 10)).save(tmp_path / "p.jpg")

    def damaged(image):
        raise struct.error("unpack requires a buffer of 8 bytes")

    monkeypatch.setattr(ImageOps, "exif_transpose", damaged)
    with pytest.raises(FrameReadError, match="its EXIF data is damaged"):
        open_video(tmp_path / "p.jpg")


def test_a_relative_name_with_a_colon_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer = VideoWriter(Path("12:30.mp4"), 5, 16, 16)
    for _ in range(2):
        writer.write(np.zeros((16, 16, 3), np.uint8))
    writer.close()
    assert open_video("12:30.mp4").num_frames == 2


def test_a_stream_without_a_decoder_is_refused(tmp_path):
    writer = VideoWriter(tmp_path / "v.mp4", 5, 16, 16)
    writer.write(np.zeros((16, 16, 3), np.uint8))
    writer.close()
    data = (tmp_path / "v.mp4").read_bytes()
    assert data.count(b"avc1") >= 1
    (tmp_path / "e.mp4").write_bytes(data.replace(b"avc1", b"encv"))
    with pytest.raises(ValueError, match="e.mp4: FFmpeg knows no decoder"):
        open_video(tmp_path / "e.mp4")


def test_sixteen_bit_image_is_refused_not_clipped(tmp_path):
    Image.fromarray(np.full((4, 4), 3000, np.uint16)).save(tmp_path / "d.png")
    with pytest.raises(FrameReadError, match="8 bits"):
        open_video(tmp_path / "d.png")


def test_what_cannot_be_opened_says_why(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing.mp4 does not exist"):
        open_video(tmp_path / "missing.mp4")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(ValueError, match="empty.mp4 is empty: 0 bytes"):
        open_video(tmp_path / "empty.mp4")
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(2000))
    with pytest.raises(ValueError, match="noise.mp4 .*not a video"):
        open_video(tmp_path / "noise.mp4")
    (tmp_path / "text.txt").write_text("hello\n" * 100)
    with pytest.raises(ValueError, match="text.txt"):
        open_video(tmp_path / "text.txt")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="has no frames"):
        open_video(tmp_path / "folder")
    with pytest.raises(TypeError, match="int found"):
        open_video(3)


def test_arrays_and_lists():
    frames = np.random.default_rng(0).integers(0, 255, (5, 4, 6, 3), np.uint8)
    for video in map(open_video, (frames, list(frames), jnp.asarray(frames))):
        assert (video.num_frames, video.height, video.width, video.fps) == (5, 4, 6, None)
        np.testing.assert_array_equal(np.stack(list(video)), frames)
    assert open_video(frames[0]).num_frames == 1
    with pytest.raises(ValueError, match="uint8 .*float64"):
        open_video(frames / 255.0)
    with pytest.raises(FrameReadError, match="frame 1 "):
        open_video([frames[0], frames[0][:2]])[1]
    with pytest.raises(ValueError, match="no frames"):
        open_video(frames[:0])


def test_live_iterator_is_read_once_and_only_forward():
    pulled = []

    def camera():
        for index in range(4):
            pulled.append(index)
            yield np.full((4, 6, 3), index, np.uint8)

    video = open_video(camera())
    assert (video.num_frames, video.seekable, video.height, video.width) == (None, False, 4, 6)
    assert pulled == [0]  # nothing is read ahead: the next frame does not exist yet
    assert video[1][0, 0, 0] == 1 and pulled == [0, 1]
    with pytest.raises(ValueError, match="frame 0 of live stream is gone"):
        video[0]
    assert [int(frame[0, 0, 0]) for frame in video] == [1, 2, 3]
    with pytest.raises(IndexError, match="ended after frame 3"):
        video[4]
    with pytest.raises(TypeError, match="live stream"):
        len(video)
    with pytest.raises(ValueError, match="no frames"):
        open_video(iter(()))


def test_cache_is_bounded_in_frames_and_bytes():
    assert frame_source.FrameCache(1).capacity == frame_source.CACHE_FRAMES
    assert frame_source.FrameCache(1920 * 1080 * 3).capacity <= 16
    assert frame_source.FrameCache(10**9).capacity == 2


def test_the_cache_takes_requests_of_several_threads():
    """The annotation page reads frames in two; a frame could go between being found and moved."""
    cache, interval = frame_source.FrameCache(10**9), sys.getswitchinterval()

    def ask(_):
        for k in range(30_000):
            if cache.get(k % 3) is None:
                cache.put(k % 3, np.zeros(1))

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(ask, range(3)))
    finally:
        sys.setswitchinterval(interval)


def test_natural_order_key():
    names = ["b1", "a10", "a9", "a09b", "a"]
    assert sorted(names, key=image_files._natural_key) == ["a", "a9", "a09b", "a10", "b1"]


def test_resize_for_model_is_pillow_bicubic_then_normalised():
    frame = np.random.default_rng(1).integers(0, 255, (20, 30, 3), np.uint8)
    got = resize_for_model(frame, 32)
    want = np.asarray(Image.fromarray(frame).resize((32, 32), Image.Resampling.BICUBIC)) / 255.0
    want = (want - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert got.dtype == np.float32 and got.shape == (32, 32, 3)
    np.testing.assert_allclose(got, want, atol=1e-5)
    white = resize_for_model(np.full((2, 2, 3), 255, np.uint8), 64)[5, 5]
    np.testing.assert_allclose(white, [2.2489083, 2.4285715, 2.64], atol=1e-5)
    with pytest.raises(ValueError, match="uint8"):
        resize_for_model(frame.astype(np.float32), 32)
