"""Frames cut from a video file are the frames that were asked for."""

import av
import cv2
import numpy as np
import pytest

from tfds_builders.kit import video_files
from tfds_builders.kit.archive import CorruptImage


@pytest.fixture
def movie(tmp_path):
    """Ten frames, frame t of grey 20 t."""
    path = tmp_path / "movie.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for t in range(10):
            picture = np.full((48, 64, 3), 20 * t, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_the_wanted_frames_and_no_others(movie):
    found = list(video_files.jpegs(movie, [0, 3, 9]))
    assert [number for number, _ in found] == [0, 3, 9]
    for number, data in found:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert abs(float(image.mean()) - 20 * number) < 4


def test_facts_and_count(movie):
    rate, frames, size = video_files.facts(movie)
    assert (rate, frames, size) == (25.0, 10, (64, 48))
    assert video_files.count_frames(movie) == 10


def test_refusals(movie, tmp_path):
    with pytest.raises(CorruptImage, match=r"movie\.mp4: the video ends before frame 12"):
        list(video_files.jpegs(movie, [9, 12]))
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(CorruptImage, match=r"text\.mp4"):
        video_files.facts(text)
    with pytest.raises(CorruptImage, match=r"text\.mp4"):
        list(video_files.jpegs(text, [0]))
