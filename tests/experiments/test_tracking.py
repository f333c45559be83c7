"""The track command's library part, with a scripted predictor: files, values, refusals, stops.

The scripted predictor moves one rectangle per object and reads every frame it visits, as the real
one does. The real one runs in `test_track_command.py`.
"""

import errno
import json
import os
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from experiments import track_job, tracking
from experiments.track_options import TrackOptions
from experiments.tracking import TrackStopped
from surgjax.inference import devices, frames, mask_writer
from surgjax.inference.prompt_file import PromptError
from surgjax.inference.snapshot import Snapshot
from surgjax.viz import result_pictures, video_writer

WIDTH, HEIGHT, FRAMES = 64, 48, 10


class ScriptedPredictor:
    """Object i covers columns 4i..4i+8 (+ frame) and wins overlaps by its id."""

    def __init__(self, fail=None):
        self.config = SimpleNamespace(name="nano", image_size=256)
        self.checkpoint_sha256 = "ab" * 32
        self.timings = {"compile_seconds": 0.0, "step_ms": []}
        self.calls, self.first, self.last = [], {}, {}
        self.fail = fail or {}

    def init_state(self, video, max_objects=4):
        self.max_objects = max_objects
        return video

    def frames_ahead(self, state):
        return 0

    def _prompted(self, frame_idx, obj_id):
        self.timings["compile_seconds"] = 1.5
        self.first[obj_id] = min(self.first.get(obj_id, frame_idx), frame_idx)
        self.last[obj_id] = max(self.last.get(obj_id, frame_idx), frame_idx)

    def add_new_points_or_box(self, state, frame_idx, obj_id, points=None, labels=None, box=None):
        self.calls.append(("points", frame_idx, obj_id, points, labels, box))
        self._prompted(frame_idx, obj_id)

    def add_new_mask(self, state, frame_idx, obj_id, mask):
        self.calls.append(("mask", frame_idx, obj_id, int(mask.sum())))
        self._prompted(frame_idx, obj_id)

    def _yield(self, state, frame_idx, live):
        if frame_idx in self.fail:
            raise self.fail[frame_idx]
        state[frame_idx]
        self.at = frame_idx
        self.timings["step_ms"].append(10.0 + frame_idx)
        ids = list(self.first)
        logits = np.full((len(ids), 1, HEIGHT, WIDTH), -1024, np.float32)
        for place, obj_id in enumerate(ids):
            if obj_id in live:
                left = 4 * obj_id + frame_idx
                logits[place] = -3
                logits[place, 0, 10:30, left : left + 8] = obj_id
        return frame_idx, ids, logits

    def propagate_in_video(
        self, state, start_frame_idx=None, max_frame_num_to_track=None, reverse=False
    ):
        self.calls.append(("propagate", start_frame_idx, max_frame_num_to_track, reverse))
        start = min(self.first.values()) if start_frame_idx is None else start_frame_idx
        more = FRAMES if max_frame_num_to_track is None else max_frame_num_to_track
        if reverse:
            for t in range(start, max(start - more, 0) - 1, -1):
                yield self._yield(state, t, {o for o, f in self.last.items() if f >= t})
        else:
            for t in range(start, min(start + more, FRAMES - 1) + 1):
                yield self._yield(state, t, {o for o, f in self.first.items() if f <= t})

    def snapshot(self, state):
        return Snapshot({"at": self.at, "first": list(self.first.items())}, {})

    def restore(self, state, snapshot):
        self.at, self.first = snapshot.facts["at"], dict(snapshot.facts["first"])

    def continue_propagation(self, state):
        """Of a forward pass alone; the real predictor goes on in `test_track_resume.py`."""
        for t in range(self.at + 1, FRAMES):
            yield self._yield(state, t, {o for o, f in self.first.items() if f <= t})

    def propagate_both(self, state):
        yield from self.propagate_in_video(state)
        for t in range(max(self.first.values()) - 1, -1, -1):
            yield self._yield(state, t, {o for o, f in self.first.items() if f > t})


def _write_video(path, num_frames=FRAMES):
    writer = video_writer.VideoWriter(path, 5, HEIGHT, WIDTH)
    rng = np.random.default_rng(0)
    for _ in range(num_frames):
        writer.write(rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))
    writer.close()


@pytest.fixture
def job(tmp_path):
    """Options for a ten-frame video with objects 1 (frame 2) and 2 (frames 5 and 3)."""
    _write_video(tmp_path / "video.mp4")
    Image.fromarray(np.eye(HEIGHT, WIDTH, dtype=np.uint8)).save(tmp_path / "m.png")
    prompts = {
        "objects": [
            {"id": 1, "name": "grasper", "prompts": [{"frame": 2, "points": [[8, 9]]}]},
            {
                "id": 2,
                "prompts": [{"frame": 5, "mask": "m.png"}, {"frame": 3, "box": [1, 2, 30, 40]}],
            },
        ]
    }
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))

    def make(**changes):
        values = {
            "video": str(tmp_path / "video.mp4"),
            "prompts": str(tmp_path / "prompts.json"),
            "output": str(tmp_path / "out"),
        }
        return TrackOptions(**{**values, **changes})

    return make


def _run(options, predictor=None):
    said = []
    predictor = predictor or ScriptedPredictor()
    summary = tracking.run(options, lambda _: predictor, said.append)
    return summary, predictor, "\n".join(said)


def _masks(tmp_path, folder="masks"):
    return {
        int(path.stem): mask_writer.read_palette_png(path)
        for path in sorted((tmp_path / "out" / folder).iterdir())
    }


def _present(masks, object_id):
    return [t for t, label_map in masks.items() if (label_map == object_id).any()]


def test_forward_writes_every_result(tmp_path, job):
    summary, predictor, said = _run(job())
    masks = _masks(tmp_path)
    assert list(masks) == list(range(FRAMES))
    assert _present(masks, 1) == list(range(2, 10)) and _present(masks, 2) == list(range(3, 10))
    # Columns 8..15 of object 1 and 12..19 of object 2 at frame 4: the higher logit has the overlap.
    assert masks[4][20, 8:21].tolist() == [1] * 4 + [2] * 8 + [0]
    assert predictor.max_objects == 2
    with av.open(str(tmp_path / "out" / "overlay.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == 5
        assert sum(1 for _ in container.decode(video=0)) == FRAMES
    with Image.open(tmp_path / "out" / "sheet.png") as sheet:
        assert sheet.width > WIDTH
    names = ["masks", "overlay.mp4", "sheet.png", "summary.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    for text in ("device: ", "10 frames, 64x48, 5 fps", "1 grasper, 2; on frames 2, 3, 5"):
        assert text in said
    assert "compiling... done 1.5 s (cached for next time)" in said
    assert str(tmp_path / "out" / "overlay.mp4") in said and "next: " in said


def test_prompts_reach_the_predictor_in_pixels(job):
    _, predictor, _ = _run(job())
    point, box, mask, way = predictor.calls
    assert point[:3] == ("points", 2, 1) and point[3].tolist() == [[8, 9]]
    assert point[4].tolist() == [1] and point[5] is None
    assert box[:4] == ("points", 3, 2, None) and box[5].tolist() == [1, 2, 30, 40]
    assert mask == ("mask", 5, 2, 48)
    assert way == ("propagate", None, None, False)


def test_summary_has_the_documented_keys(tmp_path, job):
    summary, _, _ = _run(job())
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary
    assert list(summary) == [
        "frames",
        "objects",
        "compile_seconds",
        "step_ms_p50",
        "step_ms_p95",
        "total_ms_p50",
        "total_ms_p95",
        "seconds",
        "device",
        "model",
        "image_size",
        "precision",
        "memory",
        "checkpoint_sha256",
        "versions",
        "settings",
    ]
    assert summary["frames"] == FRAMES
    assert summary["objects"] == [
        {"id": 1, "name": "grasper", "frames_present": 8},
        {"id": 2, "name": None, "frames_present": 7},
    ]
    assert (summary["compile_seconds"], summary["step_ms_p50"]) == (1.5, 15.5)
    assert 0 < summary["total_ms_p50"] <= summary["total_ms_p95"]
    assert (summary["model"], summary["image_size"], summary["precision"]) == ("nano", 256, "fp32")
    assert summary["memory"] == {"policy": "recent", "options": {}}
    assert summary["checkpoint_sha256"] == "ab" * 32 and summary["versions"]["jax"]


def test_backward_starts_at_the_latest_prompt(tmp_path, job):
    _, predictor, _ = _run(job(direction="backward"))
    masks = _masks(tmp_path)
    assert predictor.calls[-1] == ("propagate", 5, None, True)
    assert list(masks) == list(range(FRAMES))
    assert _present(masks, 1) == [0, 1, 2] and _present(masks, 2) == [0, 1, 2, 3, 4, 5]


def test_backward_from_frame_0_is_that_frame(tmp_path, job):
    (tmp_path / "p.json").write_text(
        '{"objects": [{"id": 1, "prompts": [{"frame": 0, "points": [[1, 1]]}]}]}'
    )
    _, predictor, _ = _run(job(direction="backward", prompts=str(tmp_path / "p.json")))
    assert predictor.calls[-1] == ("propagate", 0, 0, False)
    assert _present(_masks(tmp_path), 1) == [0]


def test_both_covers_the_video_for_every_object(tmp_path, job):
    _, _, said = _run(job(direction="both", per_object_masks=True))
    masks = _masks(tmp_path)
    assert _present(masks, 1) == list(range(FRAMES)) and _present(masks, 2) == list(range(FRAMES))
    # Frame 2: object 1 came forward, object 2 backward; the overlap still goes to the higher logit.
    assert masks[2][20, 6:19].tolist() == [1] * 4 + [2] * 8 + [0]
    assert sorted(p.name for p in (tmp_path / "out").iterdir())[:2] == ["masks", "masks_per_object"]
    for object_id in (1, 2):
        own = _masks(tmp_path, f"masks_per_object/{object_id}")
        assert _present(own, object_id) == list(range(FRAMES))
        assert all((label_map == object_id).sum() == 160 for label_map in own.values())


def test_a_single_image_and_a_folder_without_a_rate(tmp_path, job):
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "one.png")
    (tmp_path / "p.json").write_text(
        '{"objects": [{"id": 7, "prompts": [{"frame": 0, "points": [[1, 1]]}]}]}'
    )
    options = job(video=str(tmp_path / "one.png"), prompts=str(tmp_path / "p.json"), fps=12)
    predictor = ScriptedPredictor()
    predictor.propagate_in_video = lambda state: iter([predictor._yield(state, 0, {7})])
    summary, _, said = _run(options, predictor)
    assert summary["frames"] == 1 and summary["total_ms_p50"] > 0
    assert "no frame rate, 12 fps taken" in said
    with av.open(str(tmp_path / "out" / "overlay.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == 12


def test_palette_png_as_prompts(tmp_path, job):
    _, predictor, _ = _run(job(prompts=str(tmp_path / "m.png")))
    assert predictor.calls[0] == ("mask", 0, 1, 48)


# ---- refusals: one message each, before anything is written -------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video": "gone.mp4"}, "video gone.mp4 does not exist"),
        ({"prompts": "gone.json"}, "prompts gone.json does not exist"),
        ({"image_size": 100}, "--image_size=100: a multiple of 32 expected"),
        ({"image_size": 0}, "--image_size=0: a multiple of 32"),
        ({"fps": 0}, "--fps=0: a rate from"),
        ({"fps": float("nan")}, "--fps=nan: a rate from"),
        ({"precision": "fp16"}, "--precision=fp16: one of fp32, bf16"),
        ({"memory": "last"}, "memory 'last': expected one of recent, divemem"),
        ({"memory_options": "delta=3"}, "memory recent, memory_options delta: not known"),
        ({"direction": "sideways"}, "--direction=sideways: one of forward, backward, both"),
        ({"model": "tiny"}, "--model=tiny needs --checkpoint=PATH .*--random_weights"),
        ({"checkpoint": "a.pt", "random_weights": True}, "contradict each other"),
    ],
)
def test_bad_flags_and_missing_files(tmp_path, job, changes, message):
    with pytest.raises((ValueError, OSError), match=message):
        _run(job(**changes))
    assert not (tmp_path / "out").exists()


def test_empty_video(tmp_path, job):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(ValueError, match="empty.mp4 is empty: 0 bytes"):
        _run(job(video=str(tmp_path / "empty.mp4")))


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({"frame": 10, "points": [[1, 1]]}, "object 3, frame 10: the video has 10 frames, 0 to 9"),
        ({"frame": 0, "points": [[65, 1]]}, r"\(65, 1\) lies outside the frame; x from 0 to 64"),
        ({"frame": 0, "points": [[1, 1], [1, 1]], "labels": [0, 1]}, "labelled both 1 and 0"),
        ({"frame": 0, "mask": "small.png"}, "wrong size: the video's 64x48 expected, 8x8 found"),
    ],
)
def test_prompts_that_do_not_fit_the_video(tmp_path, job, prompt, message):
    Image.new("L", (8, 8), 1).save(tmp_path / "small.png")
    content = {"objects": [{"id": 3, "prompts": [prompt]}]}
    (tmp_path / "prompts.json").write_text(json.dumps(content))
    with pytest.raises(PromptError, match=message):
        _run(job())
    assert not (tmp_path / "out").exists()


def test_unknown_object_id(tmp_path, job):
    content = {"objects": [{"id": 255, "prompts": [{"frame": 0, "points": [[1, 1]]}]}]}
    (tmp_path / "prompts.json").write_text(json.dumps(content))
    with pytest.raises(PromptError, match="id: an integer from 1 to 254 expected, 255 found"):
        _run(job())


def test_no_accelerator(tmp_path, job, monkeypatch):
    monkeypatch.setattr(devices, "has_accelerator", lambda: False)
    with pytest.raises(devices.DeviceError, match="an accelerator is required"):
        _run(job(require_accelerator=True))
    assert not (tmp_path / "out").exists()


def test_checkpoint_that_cannot_be_loaded_leaves_no_output(tmp_path, job):
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ValueError, match="cut.pt"):
        tracking.run(job(checkpoint=str(tmp_path / "cut.pt")), say=lambda _: None)
    with pytest.raises(ValueError, match="gone.pt: no such file"):
        tracking.run(job(checkpoint="gone.pt"), say=lambda _: None)
    assert not (tmp_path / "out").exists()


def test_output_that_is_not_empty(tmp_path, job):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "note.txt").write_text("mine")
    with pytest.raises(ValueError, match="out is not empty; --overwrite replaces"):
        _run(job())
    _run(job(overwrite=True))
    assert (tmp_path / "out" / "note.txt").read_text() == "mine"
    assert len(_masks(tmp_path)) == FRAMES


def test_prompts_inside_the_output_are_not_overwritten(tmp_path, job):
    (tmp_path / "out" / "masks").mkdir(parents=True)
    path = tmp_path / "out" / "masks" / "00000.png"
    Image.fromarray(np.eye(HEIGHT, WIDTH, dtype=np.uint8)).save(path)
    with pytest.raises(ValueError, match="--prompts .*lies in the results to be written"):
        _run(job(prompts=str(path), overwrite=True))
    assert path.exists()


def test_a_prompt_mask_inside_the_output_is_not_overwritten(tmp_path, job):
    """The way of a correction: a written mask is edited and given back."""
    (tmp_path / "out" / "masks").mkdir(parents=True)
    path = tmp_path / "out" / "masks" / "00005.png"
    Image.fromarray(np.eye(HEIGHT, WIDTH, dtype=np.uint8)).save(path)
    content = {"objects": [{"id": 2, "prompts": [{"frame": 5, "mask": "out/masks/00005.png"}]}]}
    (tmp_path / "prompts.json").write_text(json.dumps(content))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="mask .*00005.png lies in the results to be written"):
        _run(job(overwrite=True))
    assert path.read_bytes() == before


def test_a_folder_of_frames_is_no_output(tmp_path, job):
    (tmp_path / "out").mkdir()
    for t in range(FRAMES):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "out" / f"{t}.png")
    with pytest.raises(ValueError, match="--video .*out is the output folder too"):
        _run(job(video=str(tmp_path / "out"), overwrite=True))
    assert len(list((tmp_path / "out").iterdir())) == FRAMES


def test_live_stream_is_for_the_library(job):
    with pytest.raises(ValueError, match="a live stream has no end"):
        _run(job(video=iter([np.zeros((HEIGHT, WIDTH, 3), np.uint8)])))


# ---- stops: what was done is kept and reported -------------------------------------------------


def _read_error(index):
    return {index: frames.FrameReadError(index, "video.mp4", "its data is damaged")}


def test_unreadable_frame_in_the_middle_keeps_what_was_done(tmp_path, job):
    message = "stopped: frame 6 of video.mp4 cannot be read: .*; 6 of 10 frames are kept in .*out"
    with pytest.raises(TrackStopped, match=message) as caught:
        _run(job(), ScriptedPredictor(fail=_read_error(6)))
    assert list(_masks(tmp_path)) == [0, 1, 2, 3, 4, 5]  # 0 and 1 lie before the first prompt
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
        _run(job())
    assert list(_masks(tmp_path)) == list(range(shown_at))


def test_backward_stop_leaves_out_frames_it_did_not_reach(tmp_path, job):
    with pytest.raises(TrackStopped, match="frame 3 .*; 6 of 10 frames are kept"):
        _run(job(direction="backward"), ScriptedPredictor(fail=_read_error(3)))
    assert list(_masks(tmp_path)) == [4, 5, 6, 7, 8, 9]


def test_error_on_the_first_frame_leaves_nothing(tmp_path, job):
    with pytest.raises(ValueError, match="frame 2 of video.mp4"):
        _run(job(), ScriptedPredictor(fail=_read_error(2)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: 9 GB")])
def test_out_of_memory_on_the_prompted_frame_says_so(tmp_path, job, error):
    predictor = ScriptedPredictor()

    def add(*_, **__):
        raise error

    predictor.add_new_points_or_box = add
    with pytest.raises(ValueError, match="out of memory; a smaller --image_size"):
        _run(job(), predictor)
    assert not (tmp_path / "out").exists()


def test_interrupted_run_keeps_what_was_done(tmp_path, job):
    with pytest.raises(TrackStopped, match="stopped: interrupted; 7 of 10 frames"):
        _run(job(), ScriptedPredictor(fail={7: KeyboardInterrupt()}))
    assert len(_masks(tmp_path)) == 7


def test_a_fault_of_our_own_is_not_dressed_as_bad_input(tmp_path, job):
    with pytest.raises(RuntimeError, match="surgjax itself failed") as caught:
        _run(job(), ScriptedPredictor(fail={7: IndexError("out of range")}))
    assert isinstance(caught.value.__cause__, IndexError)
    assert len(_masks(tmp_path)) == 7


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
        _run(job())
    assert "the disk of" in str(caught.value) and "out is full (No space left" in str(caught.value)
    assert "5 of 10 frames are kept" in str(caught.value)
    assert reserves[:6] == [True] * 6  # room for the summary, given back before it is written
    assert not (tmp_path / "out" / "reserve").exists()
    assert "without overlay.mp4 and sheet.png and summary.json" in str(caught.value)
    assert list(_masks(tmp_path)) == [2, 3, 4, 5, 6]
    shown = [path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."]
    assert shown == ["masks"]


def test_disk_full_while_drawing_keeps_all_masks(tmp_path, job, monkeypatch):
    monkeypatch.setattr(result_pictures.VideoWriter, "write", _no_space)
    with pytest.raises(TrackStopped, match="is full .*; 10 of 10 frames .*without overlay.mp4"):
        _run(job())
    assert len(_masks(tmp_path)) == FRAMES
    assert not (tmp_path / "out" / "overlay.mp4").exists()
    assert (tmp_path / "out" / "summary.json").exists()


def test_an_earlier_result_survives_a_run_that_did_nothing(tmp_path, job):
    _run(job())
    before = (tmp_path / "out" / "summary.json").read_bytes()
    with pytest.raises(ValueError, match="frame 2"):
        _run(job(overwrite=True), ScriptedPredictor(fail=_read_error(2)))
    assert (tmp_path / "out" / "summary.json").read_bytes() == before
    assert len(_masks(tmp_path)) == FRAMES
