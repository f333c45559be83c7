"""The track command with the real predictor, and as a user runs it: exit status, streams, files."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import tracking
from experiments.track_options import TrackOptions
from surgjax.inference import mask_writer
from surgjax.inference.video import VideoPredictor
from surgjax.testing import debug_config, lively_params, moving_squares
from surgjax.viz.video_writer import VideoWriter

ROOT = Path(__file__).resolve().parents[2]
FRAMES, HEIGHT, WIDTH = 6, 48, 80
BOXES = {4: (1, [3, 5, 16, 18]), 9: (3, [36, 18, 50, 33])}  # id -> frame, box


@pytest.fixture
def clip(tmp_path):
    """A six-frame video and prompts for two objects, on frames 1 and 3."""
    writer = VideoWriter(tmp_path / "clip.mp4", 5, HEIGHT, WIDTH)
    for frame in moving_squares(FRAMES, HEIGHT, WIDTH):
        writer.write(frame)
    writer.close()
    objects = [
        {"id": object_id, "prompts": [{"frame": frame, "box": box}]}
        for object_id, (frame, box) in BOXES.items()
    ]
    (tmp_path / "prompts.json").write_text(json.dumps({"objects": objects}))
    return {
        "video": str(tmp_path / "clip.mp4"),
        "prompts": str(tmp_path / "prompts.json"),
        "output": str(tmp_path / "out"),
    }


@pytest.fixture(scope="module")
def predictor():
    config = debug_config()
    return VideoPredictor(lively_params(config), config, keep_records=False)


def _own_masks(predictor, video, direction):
    """Each object's mask by frame, from the predictor itself, with all objects in one state."""
    state = predictor.init_state(video, max_objects=2)
    for object_id, (frame, box) in BOXES.items():
        predictor.add_new_points_or_box(state, frame, object_id, box=box)
    if direction == "both":
        frames = predictor.propagate_both(state)
    elif direction == "backward":
        frames = predictor.propagate_in_video(state, 3, reverse=True)
    else:
        frames = predictor.propagate_in_video(state)
    logits = {}
    for t, object_ids, mask_logits in frames:
        for object_id, own in zip(object_ids, mask_logits[:, 0], strict=True):
            if (t, object_id) not in logits or logits[t, object_id].max() < -1000:
                logits[t, object_id] = own
    return logits


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_masks_are_those_of_the_predictor(clip, predictor, direction):
    options = TrackOptions(**clip, direction=direction, per_object_masks=True)
    summary = tracking.run(options, lambda _: predictor, lambda _: None)
    logits = _own_masks(predictor, clip["video"], direction)
    out = Path(clip["output"])
    covered = 0
    for t in range(FRAMES):
        own = {o: logits.get((t, o), np.full((HEIGHT, WIDTH), -1024.0)) for o in BOXES}
        best = np.stack([np.zeros((HEIGHT, WIDTH)), *own.values()])
        want = np.array([0, *BOXES], np.uint8)[best.argmax(0)]
        got = mask_writer.read_palette_png(out / "masks" / f"{t:05d}.png")
        np.testing.assert_array_equal(got, want)
        for object_id, mask in own.items():
            path = out / "masks_per_object" / str(object_id) / f"{t:05d}.png"
            np.testing.assert_array_equal(mask_writer.read_palette_png(path) > 0, mask > 0)
        covered += bool(want.any())
    # The comparison means something only where there are masks: every frame of the way has one.
    assert covered == {"forward": 5, "backward": 4, "both": 6}[direction]
    assert summary["frames"] == FRAMES and summary["model"] == "debug"
    assert summary["compile_seconds"] > 0 and summary["step_ms_p50"] > 0


def _command(clip, *flags):
    given = [f"--{name}={value}" for name, value in clip.items()]
    return subprocess.run(
        [sys.executable, "-m", "experiments.track", *given, *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_command_end_to_end(clip):
    done = _command(clip, "--random_weights", "--image_size=64", "--per_object_masks")
    assert done.returncode == 0, done.stderr
    for text in (
        "device: cpu",
        "6 frames, 80x48, 5 fps",
        "nano (random weights",
        "compiling...",
        "next: ",
    ):
        assert text in done.stdout
    assert "tracking: 5/5 frames" in done.stderr and "drawing: 6/6 frames" in done.stderr
    out = Path(clip["output"])
    assert len(list((out / "masks").iterdir())) == FRAMES
    assert len(list((out / "masks_per_object" / "9").iterdir())) == FRAMES
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["model"], summary["image_size"]) == ("nano", 64)
    assert summary["checkpoint_sha256"] is None

    again = _command(clip, "--random_weights", "--image_size=64")
    assert again.returncode == 1 and "is not empty; --overwrite" in again.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--video=gone.mp4",), "track: video gone.mp4 does not exist."),
        (("--image_size=100",), "track: --image_size=100: a multiple of 32 expected."),
        (("--image_size=big",), "image_size"),
        (("--model=huge",), "huge"),
        (("--checkpoint=gone.pt",), "gone.pt: no such file"),
        (("--require_accelerator",), "track: an accelerator is required"),
        (("surplus",), "track: unexpected argument surplus"),
    ],
)
def test_bad_input_is_one_message_on_stderr_without_traceback(clip, flags, message):
    done = _command(clip, *flags)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path(clip["output"]).exists()


def test_missing_flag_is_named(clip):
    clip.pop("prompts")
    done = _command(clip)
    assert done.returncode != 0 and "--prompts" in done.stderr and "Traceback" not in done.stderr


def test_variant_that_contradicts_the_checkpoint(clip, predictor, monkeypatch):
    monkeypatch.setattr(VideoPredictor, "from_checkpoint", lambda *_, **__: predictor)
    options = TrackOptions(**clip, checkpoint=clip["video"], model="tiny")
    with pytest.raises(ValueError, match="--model=tiny, but .* holds debug; leave --model out"):
        tracking.run(options, say=lambda _: None)
    assert not Path(clip["output"]).exists()
