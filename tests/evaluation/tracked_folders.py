"""A small folder in the layout of DAVIS, and a model without weights, for tests of model runs."""

from pathlib import Path

import numpy as np
from PIL import Image

from surgjax.evaluation import model_report, report_files
from surgjax.evaluation.model_run import Evaluation, Model, RunOptions
from surgjax.inference.output_folder import OutputFolder
from tests.evaluation import folders
from tests.evaluation.folders import square

SIZE = (40, 60)


def truth(late=2, frames=5):
    """Object 1 moves two pixels a frame; object 2 stands still and appears on frame `late`."""
    return [
        square((1, 4, 4 + 2 * t, 10), *([(2, 20, 30, 12)] if t >= late else []))
        for t in range(frames)
    ]


def write_davis(root: Path, videos=None) -> Path:
    """JPEGImages, Annotations and ImageSets/val.txt; `videos`: name -> label maps."""
    videos = videos or {"a": truth(), "b": truth(late=0, frames=4)}
    for name, label_maps in videos.items():
        folders.write(root / "Annotations" / name, label_maps)
        write_frames(root / "JPEGImages" / name, len(label_maps))
    (root / "ImageSets").mkdir(exist_ok=True)
    (root / "ImageSets" / "val.txt").write_text("".join(f"{name}\n" for name in videos))
    return root


def write_frames(folder: Path, count: int, size=SIZE) -> None:
    """Frames whose grey is their number."""
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(count):
        Image.fromarray(np.full((*size, 3), t, np.uint8)).save(folder / f"{t:05d}.png")


class Still:
    """A segmenter that believes nothing ever moves: an object keeps its prompted mask."""

    name = "still"

    def __init__(self, fail_on: str = "", answers=None):
        self.fail_on, self.opened, self.prompts = fail_on, [], []
        self.answers = answers  # video -> label maps: what it finds when it is clicked at

    def open(self, frames):
        name = Path(frames.path).name
        self.opened.append(name)
        return _StillTracking(self, frames, name)


class _StillTracking:
    def __init__(self, owner, frames, name):
        self.owner, self.frames, self.name, self.masks = owner, frames, name, {}

    def prompt(self, frame, object_id, prompt):
        self.owner.prompts.append((self.name, frame, object_id))
        mask = prompt.mask
        if mask is None:
            mask = self.owner.answers[self.name][frame] == object_id
        self.masks.setdefault(object_id, {})[frame] = mask
        return mask

    def propagate(self, start, reverse=False):
        for t in range(start, len(self.frames)):
            if self.name == self.owner.fail_on and t == start + 1:
                raise RuntimeError("the power went out")
            found = {}
            for object_id, masks in self.masks.items():
                before = [frame for frame in masks if frame <= t] or [min(masks)]
                found[object_id] = masks[max(before)]
            yield t, found

    def close(self):
        self.frames = None


def model(segmenter=None, **identity) -> Model:
    """The model as an evaluation takes it."""
    segmenter = segmenter or Still()
    return Model(segmenter.name, {"weights": "none"} | identity, lambda: segmenter)


def evaluation_of(output, data, segmenter=None, **options):
    """An evaluation of the scripted model, with RunOptions."""
    identity = options.pop("identity", {})
    made = model(segmenter, **identity)
    return Evaluation(output, data.find(), made, data.identity(), RunOptions(**options))


def finish(evaluation, output):
    """Report, page and files, as the command writes them."""
    report = model_report.build_report(evaluation, "val")
    page = model_report.build_page(evaluation, report, "run")
    report_files.write_report(report, OutputFolder(output, report_files.FILES, True), page)
    return report


def quiet(text):
    """Says nothing."""
