"""The track command's library part, with a scripted predictor: files and values."""

import json

import av
import pytest
from PIL import Image

from tests.experiments.scripted_tracking import (
    FRAMES,
    HEIGHT,
    WIDTH,
    ScriptedPredictor,
    present,
    read_masks,
    run,
)


def test_forward_writes_every_result(tmp_path, job):
    summary, predictor, said = run(job())
    masks = read_masks(tmp_path)
    assert list(masks) == list(range(FRAMES))
    assert present(masks, 1) == list(range(2, 10)) and present(masks, 2) == list(range(3, 10))
    # Columns 8..15 of object 1 and 12..19 of object 2 at frame 4: the higher logit has the overlap.
    assert masks[4][20, 8:21].tolist() == [1] * 4 + [2] * 8 + [0]
    assert predictor.max_objects == 4  # as in an annotation session
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
    _, predictor, _ = run(job())
    point, box, mask, way = predictor.calls
    assert point[:3] == ("points", 2, 1) and point[3].tolist() == [[8, 9]]
    assert point[4].tolist() == [1] and point[5] is None
    assert box[:4] == ("points", 3, 2, None) and box[5].tolist() == [1, 2, 30, 40]
    assert mask == ("mask", 5, 2, 48)
    assert way == ("propagate", None, None, False)


def test_summary_has_the_documented_keys(tmp_path, job):
    summary, _, _ = run(job())
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
    _, predictor, _ = run(job(direction="backward"))
    masks = read_masks(tmp_path)
    assert predictor.calls[-1] == ("propagate", 5, None, True)
    assert list(masks) == list(range(FRAMES))
    assert present(masks, 1) == [0, 1, 2] and present(masks, 2) == [0, 1, 2, 3, 4, 5]


def test_backward_from_frame_0_is_that_frame(tmp_path, job):
    (tmp_path / "p.json").write_text(
        '{"objects": [{"id": 1, "prompts": [{"frame": 0, "points": [[1, 1]]}]}]}'
    )
    _, predictor, _ = run(job(direction="backward", prompts=str(tmp_path / "p.json")))
    assert predictor.calls[-1] == ("propagate", 0, 0, False)
    assert present(read_masks(tmp_path), 1) == [0]


def test_both_covers_the_video_for_every_object(tmp_path, job):
    _, _, said = run(job(direction="both", per_object_masks=True))
    masks = read_masks(tmp_path)
    assert present(masks, 1) == list(range(FRAMES)) and present(masks, 2) == list(range(FRAMES))
    # Frame 2: object 1 came forward, object 2 backward; the overlap still goes to the higher logit.
    assert masks[2][20, 6:19].tolist() == [1] * 4 + [2] * 8 + [0]
    assert sorted(p.name for p in (tmp_path / "out").iterdir())[:2] == ["masks", "masks_per_object"]
    for object_id in (1, 2):
        own = read_masks(tmp_path, f"masks_per_object/{object_id}")
        assert present(own, object_id) == list(range(FRAMES))
        assert all((label_map == object_id).sum() == 160 for label_map in own.values())


def test_a_single_image_and_a_folder_without_a_rate(tmp_path, job):
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "one.png")
    (tmp_path / "p.json").write_text(
        '{"objects": [{"id": 7, "prompts": [{"frame": 0, "points": [[1, 1]]}]}]}'
    )
    options = job(video=str(tmp_path / "one.png"), prompts=str(tmp_path / "p.json"), fps=12)
    predictor = ScriptedPredictor()
    predictor.propagate_in_video = lambda state: iter([predictor._yield(state, 0, {7})])
    summary, _, said = run(options, predictor)
    assert summary["frames"] == 1 and summary["total_ms_p50"] > 0
    assert "no frame rate, 12 fps taken" in said
    with av.open(str(tmp_path / "out" / "overlay.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == 12


def test_palette_png_as_prompts(tmp_path, job):
    _, predictor, _ = run(job(prompts=str(tmp_path / "m.png")))
    assert predictor.calls[0] == ("mask", 0, 1, 48)


def _with_correction(tmp_path, frame):
    content = json.loads((tmp_path / "prompts.json").read_text())
    correction = {"frame": frame, "points": [[3, 4]], "labels": [0], "correction": True}
    content["objects"][1]["prompts"].append(correction)
    (tmp_path / "prompts.json").write_text(json.dumps(content))


def test_corrections_come_after_the_prompts_they_correct(tmp_path, job):
    _with_correction(tmp_path, 7)
    _, predictor, _ = run(job(direction="both"))
    kinds = [(call[0], call[1]) for call in predictor.calls]
    assert kinds[:4] == [("points", 2), ("points", 3), ("mask", 5), ("correction", 7)]
    assert predictor.calls[3][3].tolist() == [[3, 4]] and predictor.calls[3][4].tolist() == [0]


@pytest.mark.parametrize(
    ("frame", "direction", "message"),
    [
        (1, "forward", "object 2, frame 1: a correction before frame 3, where --direction=forward"),
        (7, "backward", "object 2, frame 7: a correction after frame 5, where --direction=backwar"),
    ],
)
def test_a_correction_that_no_pass_meets_is_refused(tmp_path, job, frame, direction, message):
    _with_correction(tmp_path, frame)
    with pytest.raises(ValueError, match=message):
        run(job(direction=direction))
    assert not (tmp_path / "out").exists()
    run(job(direction="both"))
