"""A fake CaDIS: four frames of three videos, one of them among the mislabelled.

Path:    kit.fake -> [cadis.fake] -> archive
"""

from pathlib import Path

import numpy as np

from tfds_builders.cadis.classes import NAMES
from tfds_builders.kit import fake
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

VIDEOS = (("Video01", "train", 1380), ("Video05", "val", 100), ("Video02", "test", 100))
CLASSES = (6, 4, 12, 25, 7, 35, 22)  # what the things of the generated world become; the rest is 0
SKIPPED = "Video1_frame001390"  # in mislabelled.txt


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Every pixel has a label, and 0 is one of them."""
    videos = []
    for k, (folder, split, first) in enumerate(VIDEOS):
        frames, maps, _ = fake.scene(seed + k, 4, 64, 96)
        made = []
        for t in range(4):
            stem = f"Video{int(folder[5:])}_frame{first + 10 * t:06d}"
            image, label = f"{folder}/Images/{stem}.png", f"{folder}/Labels/{stem}.png"
            seen = fake.write_image(root / image, frames[t])
            labels = fake.as_classes(maps[t], CLASSES).astype(np.uint8)
            fake.write_labels(root / label, labels)
            if stem == SKIPPED:
                continue
            stored = labels + 1
            names = {int(value): NAMES[value - 1] for value in np.unique(stored)}
            made.append(FakeFrame(stem, seen, stored, names, image, (label,)))
        videos.append(FakeVideo(folder, split, made))
    (root / "classes.csv").write_text("not read\n")
    return videos


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with it."""
    first = videos[0].frames[0]
    image, label = Path(first.image), first.labels[0]
    return [
        *fake.common_breaks(videos),
        Break(
            "unknown label",
            lambda root, _: fake.write_value(root / label, 36),
            f"{Path(label).name}: unknown label value 36",
        ),
        Break(
            "frame of another video",
            lambda root, _: (root / image).rename(root / image.with_name("Video9_frame000090.png")),
            "Video9_frame000090.png: expected a name like",
        ),
        Break(
            "video that does not exist",
            lambda root, _: (root / "Video01").rename(root / "Video26"),
            "Video26: expected Video01 to Video25",
        ),
        Break("frame missing", lambda root, _: (root / image).unlink(), "a frame of this name"),
    ]
