"""A fake BKAI-IGH NeoPolyp: six images with masks, two without.

Path:    kit.fake -> [bkai_igh.fake] -> archive
"""

from pathlib import Path

import numpy as np

from tfds_builders.bkai_igh.builder import COLOURS
from tfds_builders.kit import fake
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

NAMES = {1: "neoplastic polyp", 2: "non-neoplastic polyp"}


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Masks are JPEG, as in the archive; the truth is their nearest colour."""
    videos = []
    palette = np.array(list(COLOURS), np.uint8)
    for t, split in enumerate(["train"] * 6 + ["test"] * 2):
        frames, maps, _ = fake.scene(seed + t, 1, 64, 96)
        name = f"{t:032x}"
        image, mask = f"{split}/{split}/{name}.jpeg", f"train_gt/train_gt/{name}.jpeg"
        seen = fake.write_image(root / image, frames[0])
        if split == "test":
            videos.append(FakeVideo(name, split, [FakeFrame(name, seen, None, {}, image)]))
            continue
        classes = fake.as_classes(maps[0], (1, 2))
        blurred = fake.write_image(root / mask, palette[classes]).astype(int)
        red, green = blurred[..., 0], blurred[..., 1]
        # Nearest of black, red, green: the larger channel, if it is above the middle.
        polyps = np.where(np.maximum(red, green) > 127, np.where(red >= green, 1, 2), 0)
        polyps = polyps.astype(np.uint8)
        frame = FakeFrame(name, seen, polyps, fake.present(polyps, NAMES), image, (mask,))
        videos.append(FakeVideo(name, split, [frame]))
    return videos


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with it."""
    first = videos[0].frames[0]
    image, mask = first.image, first.labels[0]
    yellow = np.zeros((64, 96, 3), np.uint8)
    yellow[16:48, 16:48, :2] = 255
    return [
        *fake.common_breaks(videos),
        Break(
            "yellow area in a mask",
            lambda root, _: fake.write_image(root / mask, yellow),
            r"unknown label colour \(25\d, 25\d, \d\)",
        ),
        Break(
            "image missing",
            lambda root, _: (root / image).unlink(),
            f"{first.source}.jpeg: expected an image of this name",
        ),
    ]
