"""A fake segmentation part of Cataract-1K: three cases, polygons and a bitmap.

Path:    kit.fake -> [cataract1k.fake] -> archive
"""

import json
from pathlib import Path

import cv2
import numpy as np

from tfds_builders.cataract1k.builder import Builder
from tfds_builders.kit import fake, shapes, supervisely
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

CASES = (("case_5013", "case5013", "train"), ("case_5315", "case_53153", "val"),
         ("case_5329", "case5329", "test"))  # fmt: skip
TOOLS = ("Phacoemulsification Tip", "Spatula", "Katena Forceps")
_VALUES = {name: number for number, name in enumerate(Builder.CATEGORIES, 1)}


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """The files list instruments first: the order of drawing is not the order in the file."""
    videos = []
    for k, (case, prefix, split) in enumerate(CASES):
        frames, maps, _ = fake.scene(seed + k, 3, 64, 96)
        made = []
        for t in range(3):
            stem = f"{prefix}_{t + 9:02d}"
            image, label = f"{case}/img/{stem}.png", f"{case}/ann/{stem}.png.json"
            seen = fake.write_image(root / image, frames[t])
            objects, truth = _annotate(maps[t], second=t == 1)
            supervisely.write(root / label, objects, 64, 96)
            names = {number: name for name, number in _VALUES.items()}
            objects_seen = fake.present(truth, names)
            made.append(FakeFrame(stem, seen, truth, objects_seen, image, (label,)))
        videos.append(FakeVideo(case, split, made))
    return videos


def _annotate(instances: np.ndarray, second: bool) -> tuple[list[dict], np.ndarray]:
    """Annotations of a frame, and the map they mean; `second`: the other name of the anatomy."""
    truth = np.zeros(instances.shape, np.uint8)
    objects = []
    for title, axes in (("Cornea", (40, 26)), ("Pupil", (22, 16)), ("Lens", (12, 9))):
        circle = cv2.ellipse(np.zeros_like(truth), (48, 32), axes, 0, 0, 360, 1, -1) > 0
        (polygon,), filled = shapes.as_polygons(circle)
        name = title + "1" if second and title != "Lens" else title
        objects.insert(0, supervisely.write_polygon(name, polygon))
        truth[filled] = _VALUES[title.lower()]
    tools = []
    for k, value in enumerate(np.unique(instances[instances > 0])):
        title, mask = TOOLS[k % len(TOOLS)], instances == value
        if k == 1:
            tools.append(supervisely.write_bitmap(title, mask))
        else:
            polygons, mask = shapes.as_polygons(mask)
            tools += [supervisely.write_polygon(title, polygon) for polygon in polygons]
        truth[mask] = _VALUES[title.lower()]
    return [*tools, *objects], truth


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with it."""
    first = videos[0].frames[0]
    image, label = Path(first.image), first.labels[0]

    def edit(change):
        def apply(root: Path, _) -> None:
            value = json.loads((root / label).read_text())
            change(value)
            (root / label).write_text(json.dumps(value))

        return apply

    return [
        *fake.common_breaks(videos),
        Break(
            "unknown class",
            edit(lambda value: value["objects"][0].update(classTitle="Drape")),
            "unknown label 'Drape'",
        ),
        Break(
            "unknown shape",
            edit(lambda value: value["objects"][0].update(geometryType="cuboid")),
            "object 0: unknown label: expected a polygon or a bitmap, found 'cuboid'",
        ),
        Break(
            "polygon without points",
            edit(lambda value: value["objects"][0].pop("points")),
            "object 0: a damaged polygon",
        ),
        Break(
            "another size",
            edit(lambda value: value["size"].update(width=50, height=40)),
            "wrong size",
        ),
        Break("spoilt JSON", lambda root, _: (root / label).write_text("{"), Path(label).name),
        Break("annotation missing", lambda root, _: (root / label).unlink(), Path(label).name),
        Break("frame missing", lambda root, _: (root / image).unlink(), "a frame of this name"),
        Break(
            "case that does not exist",
            lambda root, _: (root / "case_5013").rename(root / "case_5108"),
            "case_5108: expected one of the cases",
        ),
        Break(
            "frame without a number",
            lambda root, _: (root / image).rename(root / image.with_name("frame.png")),
            "frame.png: expected a name that ends in _NN",
        ),
    ]
