"""The run over cells: a model that is known, folders, resumption, refusals; then real programs."""

import json
import shutil
import weakref

import numpy as np
import pytest
from PIL import Image

from surgjax.evaluation import robustness_cases, robustness_page, robustness_prompts, robustness_run
from surgjax.evaluation.our_segmenter import OurSegmenter
from surgjax.evaluation.robustness_cases import Case, Cases, Labelled
from surgjax.evaluation.robustness_prompts import Region
from surgjax.evaluation.robustness_run import Plan
from surgjax.evaluation.robustness_tables import CLEAN, Cell, build_report
from surgjax.inference import ImagePredictor, VideoPredictor
from tests.evaluation import folders
from tests.evaluation.folders import square

FOG = ("fog",)
NONE = ()


def _labelled(shift=0):
    """Two instruments, 1 and 2, with parts 1 and 2 side by side; a column is not scored."""
    instances = square((1, 4, 4 + shift, 12), (2, 22, 30, 10))
    parts = np.where(instances > 0, np.where(np.arange(60) % 2, 1, 2), 0).astype(np.uint8)
    instances[:, 58:] = 255
    return Labelled(np.full((40, 60, 3), 90, np.uint8), instances, parts)


class Boxes:
    """Answers a box with itself filled, and a point with three squares around it."""

    def __init__(self):
        self.seen = []

    def set_image(self, image):
        self.seen.append(np.array(image))

    def predict(
        self, point_coords=None, point_labels=None, box=None, mask_input=None, multimask_output=True
    ):
        if box is not None:
            assert not multimask_output
            masks = np.stack([_filled(*row.astype(int))[None] for row in box])
            return masks, np.ones(masks.shape[:2]), masks[:, :, ::4, ::4]
        assert multimask_output and point_coords is not None and np.all(point_labels == 1)
        rows = [
            [_filled(x - r, y - r, x + r, y + r) for r in (2, 4, 6)]
            for x, y in point_coords[:, 0].astype(int)
        ]
        ious = np.tile([0.1, 0.9, 0.5], (len(rows), 1))  # the middle one is its choice
        return np.array(rows), ious, np.array(rows)[..., ::4, ::4]


def _filled(x0, y0, x1, y1):
    mask = np.zeros((40, 60), bool)
    mask[max(y0, 0) : y1 + 1, max(x0, 0) : x1 + 1] = True
    return mask


class Still:
    """A tracker that leaves a square of 4 pixels around where it was prompted."""

    name = "still"

    def open(self, frames):
        return StillVideo(frames)


class StillVideo:
    def __init__(self, frames):
        self.frames, self.prompts, self.closed = frames, {}, False

    def prompt(self, frame, object_id, prompt):
        x, y = prompt.points_xy[0].astype(int)
        self.prompts[object_id] = frame, _filled(x - 4, y - 4, x + 4, y + 4)
        return self.prompts[object_id][1]

    def propagate(self, start, reverse=False):
        for t in range(start, len(self.frames)):
            empty = np.zeros((40, 60), bool)
            yield t, {i: m if f <= t else empty for i, (f, m) in self.prompts.items()}

    def close(self):
        self.closed = True


def _cases(frames=2, types=None):
    types = {1: 5, 2: 5} if types is None else types
    labelled = [_labelled(2 * t) for t in range(frames)]
    case = Case("a", frames, labelled.__getitem__, types)
    return Cases((case,), (case,), ("binary", "parts", "type"), {"data": "toy"})


def _run(tmp_path, plan, cases=None, model="toy", said=None):
    says = (said if said is not None else []).append
    boxes = Boxes()
    states = robustness_run.run(cases or _cases(), plan, boxes, Still(), tmp_path, model, says)
    return states, boxes


def test_regions_and_labels():
    found = robustness_prompts.regions(_labelled(), ("binary", "parts"))
    assert list(found) == [
        Region(1), Region(1, 1), Region(1, 2), Region(2), Region(2, 1), Region(2, 2),
    ]  # fmt: skip
    assert found[Region(1)].sum() == 144 and found[Region(2, 1)].sum() == 50
    types = {1: 5}
    assert robustness_prompts.label_of(Region(1), "type", types) == 5
    assert robustness_prompts.label_of(Region(2), "type", types) is None
    assert robustness_prompts.label_of(Region(2, 1), "binary", types) is None
    assert list(robustness_prompts.regions(_labelled(), ("parts",))) == [
        Region(i, p) for i in (1, 2) for p in (1, 2)
    ]


def test_scores_by_hand(tmp_path):
    """Whole instruments are squares, so their boxes are perfect; a part's box holds both parts."""
    states, _ = _run(tmp_path, Plan(corruptions=FOG, surgical=NONE, severities=(2,)))
    report = build_report(states, {"data": "toy"})
    clean = {(r["mode"], r["task"]): r for r in report["per_cell"] if r["severity"] == 0}
    assert clean["image_box", "binary"]["mean_iou"] == 1
    assert clean["image_box", "type"]["mean_iou"] == 1  # both of one type: joined
    # The box of every second column of 12 (10) is 11 (9) wide: truth 72 + 50, found 132 + 90.
    assert clean["image_box", "parts"]["mean_iou"] == pytest.approx(122 / 222)
    # 9 x 9 of each, inside 12 x 12 and 10 x 10.
    assert clean["image_point", "binary"]["mean_iou"] == pytest.approx(2 * 81 / 244)
    assert clean["image_point", "binary"]["frames"] == 2
    # The model does not look at the picture, so nothing is lost.
    assert all(row["drop"] == 0 for row in report["summary"])
    # Video: object 1 moves 2 to the right; its mask stays, and still lies within.
    first, second = 2 * 81 / 244, None
    x, y = robustness_prompts.point_of(_labelled().instances == 1)
    stays = _filled(int(x) - 4, int(y) - 4, int(x) + 4, int(y) + 4)
    shared = (stays & (_labelled(2).instances == 1)).sum() + 81
    second = shared / (2 * 81 + 244 - shared)
    assert clean["video_point", "binary"]["mean_iou"] == pytest.approx((first + second) / 2)


def test_ignored_pixels_count_nowhere():
    labelled = _labelled()
    found = {Region(1): labelled.instances == 1, Region(2): labelled.instances >= 2}
    areas = robustness_prompts.frame_areas(found, labelled, "binary", {})
    assert areas[1].shared == areas[1].predicted == areas[1].target == 244


def test_late_objects_are_prompted_when_they_appear():
    late = [robustness_prompts.regions(_labelled(t), ("binary",)) for t in range(3)]
    first = {Region(1): late[0][Region(1)]}
    points = robustness_prompts.first_points([{}, first, *late])
    assert points[Region(1)][0] == 1 and points[Region(2)][0] == 2


def test_more_regions_than_fit_at_once(monkeypatch):
    monkeypatch.setattr(robustness_prompts, "OBJECTS_AT_ONCE", 2)
    labelled = _labelled()
    points = robustness_prompts.first_points(
        [robustness_prompts.regions(labelled, ("binary", "parts"))]
    )
    frames = np.stack([labelled.frame_u8] * 2)
    found = [{}, {}]
    for frame, masks in robustness_prompts.video_masks(Still(), frames, points):
        assert len(masks) == 2
        found[frame] |= masks
    assert found[0].keys() == found[1].keys() == points.keys()


def test_frames_are_damaged_with_seeds_of_their_own(tmp_path):
    plan = Plan(("image_box",), ("binary",), ("gaussian_noise",), ("fog",), (1, 5))
    _, boxes = _run(tmp_path, plan)
    seen = np.array(boxes.seen).reshape(5, 2, 40, 60, 3).astype(int)  # cells, frames
    clean = seen[0, 0]
    assert (seen[0, 1] == clean).all()
    mild, strong = np.abs(seen[1] - clean).mean(), np.abs(seen[2] - clean).mean()
    assert 0 < mild < strong
    assert (seen[1, 0] != seen[1, 1]).any()  # frame 0 and frame 1
    assert (seen[3] != seen[1]).any()  # the surgical fog
    other, _ = _run(tmp_path / "again", plan)
    assert other.keys() == {
        ("image_box", "binary", cell)
        for cell in (
            CLEAN,
            Cell("corruptions", "gaussian_noise", 1),
            Cell("corruptions", "gaussian_noise", 5),
            Cell("surgical", "fog", 1),
            Cell("surgical", "fog", 5),
        )
    }


def test_a_run_goes_on_where_it_stopped(tmp_path):
    plan = Plan(corruptions=FOG, surgical=NONE, severities=(1, 2))
    said = []
    whole, _ = _run(tmp_path, plan, said=said)
    assert [line.split(":")[0] for line in said] == [
        "1/6 image, clean", "2/6 image, fog 1", "3/6 image, fog 2",
        "4/6 video, clean", "5/6 video, fog 1", "6/6 video, fog 2",
    ]  # fmt: skip
    (tmp_path / "cells" / "image_corruptions_fog_2.json").unlink()
    said.clear()
    again, boxes = _run(tmp_path, plan, said=said)
    assert again == whole and len(boxes.seen) == 2  # two frames of the one cell
    assert said[0] == "5 of 6 cells are there already." and said[1].startswith("6/6 image, fog 2")
    wider, boxes = _run(tmp_path, Plan(corruptions=FOG, surgical=FOG, severities=(1, 2)))
    assert len(boxes.seen) == 4 and wider.items() >= whole.items()


def test_a_part_of_what_is_stored(tmp_path):
    """Fewer modes, fewer tasks, another order: taken from the cells, and nothing is computed."""
    whole, _ = _run(tmp_path, Plan(corruptions=FOG, surgical=NONE, severities=(1,)))
    part, boxes = _run(tmp_path, Plan(("image_point",), ("type", "binary"), FOG, NONE, (1,)))
    assert boxes.seen == [] and part.items() <= whole.items()
    assert [key[:2] for key in part][:2] == [("image_point", "binary"), ("image_point", "type")]
    order = Plan(("video_point", "image_box"), ("parts", "binary"), FOG, NONE, (1,))
    assert _run(tmp_path, order)[1].seen == []


def test_areas_of_one_cell_at_a_time(tmp_path, monkeypatch):
    """The areas of a cell are gone before those of the next are read."""
    plan, alive = Plan(corruptions=FOG, surgical=NONE, severities=(1, 2)), []
    load = robustness_run._load

    class State(dict):
        pass

    def watched(path, about):
        assert not [ref for ref in alive if ref() is not None]
        found = {key: State(state) for key, state in load(path, about).items()}
        alive.extend(weakref.ref(state) for state in found.values())
        return found

    monkeypatch.setattr(robustness_run, "_load", watched)
    scores, _ = _run(tmp_path, plan)
    assert len(alive) == len(scores) == 27
    assert all(isinstance(found["mean_iou"], float) for found in scores.values())


def test_cells_of_another_run_are_refused(tmp_path):
    plan = Plan(("image_box",), ("binary",), FOG, NONE, (1,))
    _run(tmp_path, plan)
    with pytest.raises(ValueError, match="was computed with model 'toy', this run has 'other'"):
        _run(tmp_path, plan, model="other")
    with pytest.raises(ValueError, match=r"computed with tasks \['binary'\]"):
        _run(tmp_path, Plan(("image_box",), ("binary", "parts"), FOG, NONE, (1,)))
    path = tmp_path / "cells" / "image_clean.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"image_clean.json: it is no cell"):
        _run(tmp_path, plan)


def test_plans_that_cannot_be():
    with pytest.raises(ValueError, match="--corruptions: 'mist' is unknown; expected some of gau"):
        Plan(corruptions=("mist",))
    with pytest.raises(ValueError, match="--severities: 6 is unknown"):
        Plan(severities=(6,))
    with pytest.raises(ValueError, match="--modes: at least one is needed"):
        Plan(modes=())
    with pytest.raises(ValueError, match="--surgical: fog, fog names one twice"):
        Plan(surgical=("fog", "fog"))
    with pytest.raises(ValueError, match="--seed -1"):
        Plan(seed=-1)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    for sequence in ("a", "b"):
        labelled = [_labelled(2 * t) for t in range(2)]
        folders.write(root / "instances" / sequence, [one.instances for one in labelled])
        folders.write(root / "parts" / sequence, [one.parts for one in labelled])
        types = np.where(labelled[0].instances == 1, np.uint8(3), np.uint8(6))
        folders.write(root / "types" / sequence, [types] * 2)
        (root / "frames" / sequence).mkdir(parents=True)
        for t, one in enumerate(labelled):
            Image.fromarray(one.frame_u8).save(root / "frames" / sequence / f"{t:05d}.jpg")
    return root


def test_a_folder(folder, tmp_path):
    cases = robustness_cases.open_folder(str(folder))
    assert [case.name for case in cases.images] == ["a", "b"] and cases.tasks == (
        "binary",
        "parts",
        "type",
    )
    assert cases.images[0].types == {1: 3, 2: 6}  # 1 moves, but most of it is still of class 3
    read = cases.videos[1].read(1)
    assert (read.instances == _labelled(2).instances).all() and read.frame_u8.shape == (40, 60, 3)
    states, _ = _run(tmp_path / "out", Plan(corruptions=NONE, surgical=NONE), cases)
    assert states["image_box", "type", CLEAN]["frames"] == 4
    assert set(states["image_box", "type", CLEAN]["per_class"]) == {3, 6}
    shutil.rmtree(folder / "parts")
    assert robustness_cases.open_folder(str(folder)).tasks == ("binary", "type")


@pytest.mark.parametrize("changed", ["frames", "instances", "types"])
def test_changed_data_is_refused(folder, tmp_path, changed):
    plan = Plan(("image_box",), ("binary",), FOG, NONE, (1,))
    cases = robustness_cases.open_folder(str(folder))
    _run(tmp_path / "out", plan, cases)
    same = robustness_cases.open_folder(f"{folder}/parts/../")
    assert same.description == cases.description
    _run(tmp_path / "out", plan, same)
    path = next((folder / changed / "b").iterdir())
    pixels = np.array(Image.open(path))
    pixels[0, 0] = 7
    Image.fromarray(pixels).save(path)  # the same name and size
    with pytest.raises(ValueError, match=r"image_clean.json was computed with sha256 "):
        _run(tmp_path / "out", plan, robustness_cases.open_folder(str(folder)))


def test_folders_that_do_not_fit(folder):
    with pytest.raises(ValueError, match="--data .*none: no such folder"):
        robustness_cases.open_folder(str(folder / "none"))
    Image.fromarray(np.zeros((40, 61, 3), np.uint8)).save(folder / "frames" / "a" / "00000.jpg")
    with pytest.raises(ValueError, match=r"a/00000.png is \(40, 60\) \(height, width\), its image"):
        robustness_cases.open_folder(str(folder)).images[0].read(0)
    (folder / "frames" / "b" / "00001.jpg").unlink()
    with pytest.raises(ValueError, match="frames: no image of b, frame 00001"):
        robustness_cases.open_folder(str(folder))
    (folder / "types" / "a" / "00000.png").unlink()
    with pytest.raises(ValueError, match="types: no map of a, frame 00000"):
        robustness_cases.open_folder(str(folder))
    with pytest.raises(ValueError, match="generated:hard: expected one of abdomen, clear"):
        robustness_cases.generate("hard", 1, 1, 2, 64)


def test_a_flat_folder_is_one_sequence(folder, tmp_path):
    flat = tmp_path / "flat"
    for name in ("frames", "instances", "parts", "types"):
        shutil.copytree(folder / name / "a", flat / name)
    cases = robustness_cases.open_folder(str(flat))
    assert len(cases.videos) == 1 and cases.videos[0].types == {1: 3, 2: 6}
    assert cases.videos[0].read(0).parts is not None


def test_generated_scenes_have_instruments_only():
    cases = robustness_cases.generate("simple", 2, 1, 3, 96)
    assert [case.length for case in (*cases.images, *cases.videos)] == [1, 1, 3]
    again = robustness_cases.generate("simple", 2, 1, 3, 96)
    for case, other in zip(cases.images, again.images, strict=True):
        one, two = case.read(0), other.read(0)
        assert (one.frame_u8 == two.frame_u8).all() and (one.instances == two.instances).all()
        assert set(np.unique(one.instances)) - {0} <= set(case.types)
        assert one.parts is not None and not one.parts[one.instances == 0].any()


def test_through_real_programs(tmp_path):
    """Random weights: the scores mean nothing, the flow is that of a real run."""
    video = VideoPredictor.from_checkpoint("debug", keep_records=False, random_weights=True)
    image = ImagePredictor.from_checkpoint("debug", random_weights=True)
    cases = robustness_cases.generate("simple", 1, 1, 2, 64)
    plan = Plan(corruptions=("jpeg_compression",), surgical=("smoke",), severities=(4,))
    states = robustness_run.run(cases, plan, image, OurSegmenter(video), tmp_path, "debug")
    assert len(states) == 3 * 3 * 3
    report = build_report(states, cases.description)
    assert all(0 <= row["mean_iou"] <= 1 for row in report["per_cell"])
    assert len(report["summary"]) == 3 * 3 * 2
    files = robustness_page.write(report, tmp_path)
    assert json.loads(files[0].read_text())["settings"]["data"] == "generated:simple"
