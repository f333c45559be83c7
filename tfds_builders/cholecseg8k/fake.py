"""A fake archive in the layout of CholecSeg8k.

Path:    kit.fake -> [cholecseg8k.fake] -> archive
"""

import shutil
from pathlib import Path

import numpy as np

from tfds_builders.cholecseg8k.builder import GREY_CODES, IGNORE, NAMES
from tfds_builders.kit import fake
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

CLIPS = ("video01_00080", "video01_00084", "video09_00160", "video17_00240")  # in order of storing
SPLITS = {"video01": "train", "video09": "test", "video17": "val"}
FRAMES = 4
CODES = {value: code for code, value in GREY_CODES.items() if code not in (0, 255)}


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Four clips of three operations; the border of every mask is unlabelled, as in the set."""
    videos = []
    for place, clip in enumerate(CLIPS):
        name, _, start = clip.partition("_")
        images, maps, _ = fake.scene(seed + place, FRAMES, 64, 96)
        frames = []
        for t in range(FRAMES):
            stem = f"{name}/{clip}/frame_{int(start) + t}_endo"
            labels = fake.as_classes(maps[t], (5, 10, 2, 9, 4)).astype(np.uint8)
            grey = np.vectorize(CODES.get)(labels).astype(np.uint8)
            grey[0], grey[-1] = 255, 0
            labels[[0, -1]] = IGNORE
            seen = fake.write_image(root / f"{stem}.png", images[t])
            mask = f"{stem}_watershed_mask.png"
            fake.write_labels(root / mask, np.stack([grey] * 3, -1))
            for other in ("mask", "color_mask"):
                fake.write_labels(root / f"{stem}_{other}.png", np.stack([grey] * 3, -1))
            frames.append(
                FakeFrame(
                    Path(stem).name,
                    seen,
                    labels,
                    fake.present(labels, NAMES),
                    f"{stem}.png",
                    (mask,),
                )
            )
        videos.append(FakeVideo(clip, SPLITS[name], frames))
    return videos


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with such an archive."""
    mask = videos[0].frames[1].labels[0]

    def unknown_video(root: Path, _) -> None:
        (root / "video02").mkdir()
        shutil.copytree(root / "video01/video01_00080", root / "video02/video02_00080")

    def no_frames(root: Path, _) -> None:
        for path in (root / "video09/video09_00160").glob("*_endo.png"):
            path.unlink()

    return [
        *fake.common_breaks(videos),
        Break(
            "unknown grey code",
            lambda root, _: fake.write_value(root / mask, (99, 99, 99)),
            "unknown label value 99",
        ),
        Break(
            "colours instead of codes",
            lambda root, _: fake.write_value(root / mask, (11, 12, 13)),
            "expected a grey label image",
        ),
        Break("video of no split", unknown_video, "names no video02"),
        Break("clip without frames", no_frames, "video09_00160 has no frames"),
    ]
