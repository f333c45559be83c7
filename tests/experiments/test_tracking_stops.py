"""A track job that stops early: what was done is kept and reported."""

import errno
import json
import os

import av
import pytest

from experiments import track_job
from experiments.tracking import TrackStopped
from surgjax.inference import frames, mask_writer
from surgjax.viz import result_pictures
from tests.experiments.scripted_tracking import (
    FRAMES,
    ScriptedPredictor,
    read_masks,
    run,
)


def _read_error(index):
    return {index: frames.FrameReadError(index, "video.mp4", "its data is damaged")}


def test_unreadable_frame_in_the_middle_keeps_what_was_done(tmp_path, job):
    message = "stopped: frame 6 of video.mp4 cannot be read: .*; 6 of 10 frames are kept in .*out"
    with pytest.raises(TrackStopped, match=message) as caught:
        run(job(), ScriptedPredictor(fail=_read_error(6)))
    assert list(read_masks(tmp_path)) == [0, 1, 2, 3, 4, 5]  # 0 and 1 lie before the first prompt
    with av.open(str(tmp_path / "out" / "overlay.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6
    assert (tmp_path / "out" / "sheet.png").exists()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary == caught.value.summary
    assert summary["frames"] == 6 and summary["stopped"].startswith("frame 6 of video.mp4")
    assert [item["frames_present"] for item in summary["objects"]] == [4, 3]


def test_a_video_with_a_damaged_frame_end_to_end(tmp_path, job):
    path = tmp_path / "video.mp4"
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size, p.pts) for p in container.demux(video=0) if p.size]
    position, size, time = packets[7]
    shown_at = sorted(packet[2] for packet in packets).index(time)
    data = bytearray(path.read_bytes())
    data[position : position + size] = bytes(size)
    path.write_bytes(data)
    with pytest.raises(TrackStopped, match=f"frame {shown_at} of .*video.mp4 cannot be read"):
        run(job())
    assert list(read_masks(tmp_path)) == list(range(shown_at))


def test_backward_stop_leaves_out_frames_it_did_not_reach(tmp_path, job):
    with pytest.raises(TrackStopped, match="frame 3 .*; 6 of 10 frames are kept"):
        run(job(direction="backward"), ScriptedPredictor(fail=_read_error(3)))
    assert list(read_masks(tmp_path)) == [4, 5, 6, 7, 8, 9]


def test_error_on_the_first_frame_leaves_nothing(tmp_path, job):
    with pytest.raises(ValueError, match="frame 2 of video.mp4"):
        run(job(), ScriptedPredictor(fail=_read_error(2)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: 9 GB")])
def test_out_of_memory_on_the_prompted_frame_says_so(tmp_path, job, error):
    predictor = ScriptedPredictor()

    def add(*_, **__):
        raise error

    predictor.add_new_points_or_box = add
    with pytest.raises(ValueError, match="out of memory; a smaller --image_size"):
        run(job(), predictor)
    assert not (tmp_path / "out").exists()


def test_interrupted_run_keeps_what_was_done(tmp_path, job):
    with pytest.raises(TrackStopped, match="stopped: interrupted; 7 of 10 frames"):
        run(job(), ScriptedPredictor(fail={7: KeyboardInterrupt()}))
    assert len(read_masks(tmp_path)) == 7


def test_a_fault_of_our_own_is_not_dressed_as_bad_input(tmp_path, job):
    with pytest.raises(RuntimeError, match="surgjax itself failed") as caught:
        run(job(), ScriptedPredictor(fail={7: IndexError("out of range")}))
    assert isinstance(caught.value.__cause__, IndexError)
    assert len(read_masks(tmp_path)) == 7


def _no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_disk_full_while_tracking(tmp_path, job, monkeypatch):
    """From the sixth mask on every byte finds the disk full, the summary's included."""
    written, reserves = [], []
    write = mask_writer.write_file

    def limited(path, data):
        written.append(path)
        reserves.append((path.parents[1] / "reserve").exists())
        (write if len(written) <= 5 else _no_space)(path, data)

    monkeypatch.setattr(mask_writer, "write_file", limited)
    monkeypatch.setattr(track_job, "write_file", limited)
    monkeypatch.setattr(result_pictures.VideoWriter, "write", _no_space)
    monkeypatch.setattr(result_pictures.ResultPictures, "save_sheet", _no_space)
    with pytest.raises(TrackStopped) as caught:
        run(job())
    assert "the disk of" in str(caught.value) and "out is full (No space left" in str(caught.value)
    assert "5 of 10 frames are kept" in str(caught.value)
    assert reserves[:6] == [True] * 6  # room for the summary, given back before it is written
    assert not (tmp_path / "out" / "reserve").exists()
    assert "without overlay.mp4 and sheet.png and summary.json" in str(caught.value)
    assert list(read_masks(tmp_path)) == [2, 3, 4, 5, 6]
    shown = [path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."]
    assert shown == ["masks"]


def test_disk_full_while_drawing_keeps_all_masks(tmp_path, job, monkeypatch):
    monkeypatch.setattr(result_pictures.VideoWriter, "write", _no_space)
    with pytest.raises(TrackStopped, match="is full .*; 10 of 10 frames .*without overlay.mp4"):
        run(job())
    assert len(read_masks(tmp_path)) == FRAMES
    assert not (tmp_path / "out" / "overlay.mp4").exists()
    assert (tmp_path / "out" / "summary.json").exists()


def test_an_earlier_result_survives_a_run_that_did_nothing(tmp_path, job):
    run(job())
    before = (tmp_path / "out" / "summary.json").read_bytes()
    with pytest.raises(ValueError, match="frame 2"):
        run(job(overwrite=True), ScriptedPredictor(fail=_read_error(2)))
    assert (tmp_path / "out" / "summary.json").read_bytes() == before
    assert len(read_masks(tmp_path)) == FRAMES
