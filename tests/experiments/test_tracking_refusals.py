"""What the track command refuses: one message each, before anything is written."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments import tracking
from surgjax.inference import devices
from surgjax.inference.prompt_file import PromptError
from tests.experiments.scripted_tracking import (
    FRAMES,
    HEIGHT,
    WIDTH,
    read_masks,
    run,
)


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
        run(job(**changes))
    assert not (tmp_path / "out").exists()


def test_empty_video(tmp_path, job):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(ValueError, match="empty.mp4 is empty: 0 bytes"):
        run(job(video=str(tmp_path / "empty.mp4")))


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
        run(job())
    assert not (tmp_path / "out").exists()


def test_unknown_object_id(tmp_path, job):
    content = {"objects": [{"id": 255, "prompts": [{"frame": 0, "points": [[1, 1]]}]}]}
    (tmp_path / "prompts.json").write_text(json.dumps(content))
    with pytest.raises(PromptError, match="id: an integer from 1 to 254 expected, 255 found"):
        run(job())


def test_no_accelerator(tmp_path, job, monkeypatch):
    monkeypatch.setattr(devices, "has_accelerator", lambda: False)
    with pytest.raises(devices.DeviceError, match="an accelerator is required"):
        run(job(require_accelerator=True))
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
        run(job())
    run(job(overwrite=True))
    assert (tmp_path / "out" / "note.txt").read_text() == "mine"
    assert len(read_masks(tmp_path)) == FRAMES


def test_prompts_inside_the_output_are_not_overwritten(tmp_path, job):
    (tmp_path / "out" / "masks").mkdir(parents=True)
    path = tmp_path / "out" / "masks" / "00000.png"
    Image.fromarray(np.eye(HEIGHT, WIDTH, dtype=np.uint8)).save(path)
    with pytest.raises(ValueError, match="--prompts .*lies in the results to be written"):
        run(job(prompts=str(path), overwrite=True))
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
        run(job(overwrite=True))
    assert path.read_bytes() == before


def test_a_folder_of_frames_is_no_output(tmp_path, job):
    (tmp_path / "out").mkdir()
    for t in range(FRAMES):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "out" / f"{t}.png")
    with pytest.raises(ValueError, match="--video .*out is the output folder too"):
        run(job(video=str(tmp_path / "out"), overwrite=True))
    assert len(list((tmp_path / "out").iterdir())) == FRAMES


def test_live_stream_is_for_the_library(job):
    with pytest.raises(ValueError, match="a live stream has no end"):
        run(job(video=iter([np.zeros((HEIGHT, WIDTH, 3), np.uint8)])))
