"""The bundled demo: its files agree with each other and with the recipe."""

import json

import av
import numpy as np
import pytest

from surgjax.synthetic import make_demo_clip


@pytest.fixture(scope="module")
def masks():
    with np.load(make_demo_clip.ASSETS / "demo_clip_masks.npz") as stored:
        return {name: stored[name] for name in stored.files}


@pytest.fixture(scope="module")
def recipe():
    return make_demo_clip.demo_clip()


def test_recipe_still_makes_the_bundled_truth(masks, recipe):
    # Another OpenCV may round a border pixel otherwise; a changed scene differs by far more.
    assert (masks["label_maps"] == recipe.label_maps).mean() > 0.999
    assert masks["object_ids"].tolist() == list(recipe.object_ids) == [1, 2, 3]
    assert masks["object_names"].tolist() == list(recipe.object_names)


def test_video_shows_the_recipe_frame_by_frame(recipe):
    path = make_demo_clip.ASSETS / "demo_clip.mp4"
    assert path.stat().st_size < 1_500_000
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == make_demo_clip.FPS
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == make_demo_clip.NUM_FRAMES
    error = np.abs(np.stack(frames).astype(int) - recipe.frames_u8).mean((1, 2, 3))
    assert error.max() < 6  # what 4:2:0 colour and crf 18 cost


def test_prompts_are_tight_boxes_on_first_frames(masks):
    text = (make_demo_clip.ASSETS / "demo_prompts.json").read_text(encoding="utf-8")
    objects = json.loads(text)["objects"]
    assert [entry["id"] for entry in objects] == [1, 2, 3]
    for entry in objects:
        (prompt,) = entry["prompts"]
        shown = masks["label_maps"] == entry["id"]
        assert not shown[: prompt["frame"]].any()
        x0, y0, x1, y1 = prompt["box"]
        mask = shown[prompt["frame"]]
        assert mask[y0 : y1 + 1, x0 : x1 + 1].sum() == mask.sum() > 0
        assert mask[y0].any() and mask[y1].any() and mask[:, x0].any() and mask[:, x1].any()


def test_one_instrument_leaves_and_returns_while_the_others_stay(masks):
    present = np.stack([(masks["label_maps"] == k).any((1, 2)) for k in (1, 2, 3)])
    (leaving,) = np.nonzero(~present.all(1))[0]
    assert masks["object_names"][leaving] == "bipolar forceps"
    assert present[leaving, 0] and present[leaving, -1]
    assert 5 <= (~present[leaving]).sum() <= 20
