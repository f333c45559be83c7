"""A fake archive in the layout of AutoLaparo, task 3.

Path:    kit.fake -> [autolaparo.fake] -> archive
"""

from pathlib import Path

import numpy as np

from tfds_builders.autolaparo.builder import FRAME_NUMBERS, GREY, NAMES
from tfds_builders.kit import fake
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

CLIPS = {"001": "train", "227": "val", "300": "test"}
VALUES = (60, 180, 20, 140)  # grey values of objects 1, 2, ..; the lower half becomes the shaft


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Three clips of six frames, one of each split."""
    videos = []
    for place, (clip, split) in enumerate(CLIPS.items()):
        images, maps, _ = fake.scene(seed + place, len(FRAME_NUMBERS), 64, 96)
        frames = []
        for t, number in enumerate(FRAME_NUMBERS):
            stem = f"{clip}{number:03d}"
            grey = fake.as_classes(maps[t], VALUES).astype(np.uint8)
            lower = np.arange(64)[:, None] >= 32
            grey[(grey > 0) & (grey < 180) & lower] += 20
            instances, parts = (_table(k)[grey] for k in (0, 1))
            image, mask = f"imgs/{stem}.jpg", f"masks/{stem}.png"
            seen = fake.write_image(root / image, images[t])
            fake.write_labels(root / mask, np.stack([grey] * 3, -1))
            objects = fake.present(instances, dict(enumerate(NAMES, 1)))
            extra = {"parts": parts[..., None]}
            frames.append(FakeFrame(stem, seen, instances, objects, image, (mask,), extra))
        videos.append(FakeVideo(clip, split, frames))
    return videos


def _table(k: int) -> np.ndarray:
    table = np.zeros(256, np.uint8)
    for value, meaning in GREY.items():
        table[value] = meaning[k]
    return table


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with such an archive."""
    mask = videos[0].frames[0].labels[0]

    def rename(old: str, new: str):
        return lambda root, _: (root / old).rename(root / new)

    return [
        *fake.common_breaks(videos),
        Break(
            "unknown grey value",
            lambda root, _: fake.write_value(root / mask, (200, 200, 200)),
            "unknown label value 200",
        ),
        Break(
            "colours instead of grey",
            lambda root, _: fake.write_value(root / mask, (20, 40, 60)),
            "expected a grey label image",
        ),
        Break("clip of no split", rename("imgs/300001.jpg", "imgs/301001.jpg"), "no clip 301"),
        Break("name without clip", rename("imgs/001001.jpg", "imgs/1.jpg"), "a name like 001025"),
        Break("folder renamed", rename("imgs", "images"), "no video or image of autolaparo"),
    ]
