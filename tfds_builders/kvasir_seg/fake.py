"""A fake Kvasir-SEG: eight images of both splits, with their boxes.

Path:    kit.fake -> [kvasir_seg.fake] -> archive
"""

import json
from pathlib import Path

import numpy as np

from tfds_builders.kit import fake, splits
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo
from tfds_builders.kvasir_seg.builder import BOXES


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Six images of `train`, two of `val`, under names of the true split lists."""
    table = splits.official(Path(__file__).parent)
    names = [[name for name, split in table.items() if split == wanted] for wanted in SPLITS]
    videos, boxes = [], {}
    frames, maps, _ = fake.scene(seed, 8, 64, 96)
    for t, name in enumerate(sorted([*names[0][:6], *names[1][:2]])):
        image, mask = f"images/{name}.jpg", f"masks/{name}.jpg"
        seen = fake.write_image(root / image, frames[t])
        white = np.repeat(fake.biggest(maps[t])[..., None] * np.uint8(255), 3, -1)
        polyp = (fake.write_image(root / mask, white)[..., 0] > 127).astype(np.uint8)
        boxes[name] = dict(width=96, height=64, bbox=_boxes(polyp))
        frame = FakeFrame(name, seen, polyp, fake.present(polyp, {1: "polyp"}), image, (mask,))
        videos.append(FakeVideo(name, table[name], [frame]))
    (root / BOXES).write_text(json.dumps(boxes))
    return videos


SPLITS = ("train", "val")


def _boxes(polyp: np.ndarray) -> list[dict]:
    y, x = np.nonzero(polyp)
    if not len(y):
        return []
    limits = dict(xmin=x.min(), ymin=y.min(), xmax=x.max() + 1, ymax=y.max() + 1)
    return [dict(label="polyp", **{key: int(value) for key, value in limits.items()})]


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with it."""
    frame = videos[0].frames[0]
    name, mask = frame.image, frame.labels[0]
    blue = np.zeros((64, 96, 3), np.uint8)
    blue[20:40, 20:40, 2] = 255

    def boxes_without_corners(root: Path, _) -> None:
        value = json.loads((root / BOXES).read_text())
        value[frame.source]["bbox"] = [{"label": "polyp"}]
        (root / BOXES).write_text(json.dumps(value))

    return [
        *fake.common_breaks(videos),
        Break(
            "blue area in a mask",
            lambda root, _: fake.write_image(root / mask, blue),
            "unknown label colour",
        ),
        Break(
            "image of another set",
            lambda root, _: (root / name).rename(root / "images/nobody.jpg"),
            "nobody.jpg: no split",
        ),
        Break("image missing", lambda root, _: (root / name).unlink(), "an image of this name"),
        Break("spoilt boxes", lambda root, _: (root / BOXES).write_text("{"), BOXES),
        Break("boxes without corners", boxes_without_corners, "xmin"),
    ]
