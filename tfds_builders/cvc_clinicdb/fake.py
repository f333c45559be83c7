"""A fake CVC-ClinicDB: some frames of three sequences, as TIFF.

Path:    kit.fake -> [cvc_clinicdb.fake] -> archive
"""

from pathlib import Path

import numpy as np

from tfds_builders.kit import fake
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

NUMBERS = {  # sequence, split: frames
    ("sequence01", "train"): (1, 2, 9, 10, 25),
    ("sequence23", "val"): (467, 478),
    ("sequence29", "test"): (592, 600, 612),
}


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Names without leading zeros, so that their order as text is not the order of frames."""
    videos = []
    for k, ((name, split), numbers) in enumerate(NUMBERS.items()):
        frames, maps, _ = fake.scene(seed + k, len(numbers), 64, 96)
        made = []
        for t, number in enumerate(numbers):
            image, mask = f"Original/{number}.tif", f"Ground Truth/{number}.tif"
            seen = fake.write_image(root / image, frames[t])
            polyp = fake.biggest(maps[t]).astype(np.uint8)
            white = np.repeat(polyp[..., None] * np.uint8(255), 3, -1)
            fake.write_labels(root / mask, white)
            made.append(FakeFrame(str(number), seen, polyp, {1: "polyp"}, image, (mask,)))
        videos.append(FakeVideo(name, split, made))
    return videos


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with it."""
    first = videos[0].frames[0]
    image, mask = first.image, first.labels[0]
    green = np.zeros((64, 96, 3), np.uint8)
    green[10:30, 10:30, 1] = 255
    return [
        *fake.common_breaks(videos),
        Break(
            "green area in a mask",
            lambda root, _: fake.write_labels(root / mask, green),
            "unknown label colour",
        ),
        Break(
            "frame beyond the last",
            lambda root, _: (root / image).rename(root / "Original/613.tif"),
            "613.tif: expected a frame of 1 to 612",
        ),
        Break(
            "frame without a number",
            lambda root, _: (root / image).rename(root / "Original/polyp.tif"),
            "polyp.tif: expected a number",
        ),
        Break("frame missing", lambda root, _: (root / image).unlink(), "a frame of this name"),
        Break(
            "no masks",
            lambda root, _: (root / "Ground Truth").rename(root / "masks"),
            "'Original' and 'Ground Truth'",
        ),
    ]
