"""A fake RoboTool.

Path:    kit.fake -> [robotool.fake] -> archive
"""

from pathlib import Path

import numpy as np

from tfds_builders.kit import fake
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

_VIDEOS = {"dv1": "train", "dv4": "val", "dv13": "test"}


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Six images of three videos; masks are 255, in the last video 1."""
    videos = []
    for number, (name, split) in enumerate(_VIDEOS.items()):
        images, maps, _ = fake.scene(seed + number, 2, 64, 96)
        for t in range(2):
            stem = f"{name}_{5 + 68 * t:05d}"
            image, mask = f"robo_tool/{stem}.png", f"robo_tool/{stem}_seg.png"
            seen = fake.write_image(root / image, images[t])
            instances = (maps[t] > 0).astype(np.uint8)
            fake.write_labels(root / mask, instances * (1 if name == "dv13" else 255))
            objects = fake.present(instances, {1: "instrument"})
            frame = FakeFrame(stem, seen, instances, objects, image, (mask,))
            videos.append(FakeVideo(stem, split, [frame]))
    return videos


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with this archive."""
    frame = videos[0].frames[0]
    mask = frame.labels[0]
    return [
        *fake.common_breaks(videos),
        Break(
            "grey border in a mask",
            lambda root, _: fake.write_value(root / mask, 128),
            "unknown label value 128",
        ),
        Break(
            "image missing",
            lambda root, _: (root / frame.image).unlink(),
            "dv1_00005_seg.png: expected an image of this name",
        ),
        Break(
            "unknown video",
            lambda root, _: fake.write_image(root / "robo_tool/dv21_00001.png", frame.image_u8),
            "expected a video dv1 to dv20",
        ),
        Break(
            "nothing of the set",
            lambda root, _: (root / "robo_tool").rename(root / "x") and _rename_all(root / "x"),
            "no video or image of robotool",
        ),
    ]


def _rename_all(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.rename(path.with_name(f"other_{path.name}"))
