"""A fake folder in the DAVIS layout.

Path:    kit.fake -> [davis_folder.fake] -> archive
"""

import json
from pathlib import Path

import numpy as np

from tfds_builders.kit import fake
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

NAMES = {1: "grasper", 2: "gallbladder", 3: "hook"}
GROUPS = {"grasper": "instrument", "gallbladder": "tissue", "hook": "instrument"}


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Two videos of five frames; every second frame of the second has no mask."""
    videos, meta = [], {}
    for number, split in enumerate(("train", "val")):
        name = f"case{number:02d}"
        frames, maps, count = fake.scene(seed + number, 5, 64, 96)
        names = {k: NAMES.get(k, "object") for k in range(1, count + 1)}
        made = []
        for t in range(5):
            image, mask = f"JPEGImages/{name}/{t:05d}.jpg", f"Annotations/{name}/{t:05d}.png"
            seen = fake.write_image(root / image, frames[t])
            annotated = number == 0 or t % 2 == 0
            if annotated:
                fake.write_labels(root / mask, maps[t], palette=True)
            made.append(
                FakeFrame(
                    f"{t:05d}",
                    seen,
                    maps[t] if annotated else None,
                    fake.present(maps[t], names) if annotated else {},
                    image,
                    (mask,) if annotated else (),
                )
            )
        videos.append(FakeVideo(name, split, made))
        meta[name] = dict(
            fps=5,
            objects={
                str(k): dict(category=v, group=GROUPS.get(v, "instrument"))
                for k, v in names.items()
            },
        )
        (root / "ImageSets").mkdir(exist_ok=True)
        (root / "ImageSets" / f"{split}.txt").write_text(f"{name}\n")
    (root / "meta.json").write_text(json.dumps(meta))
    return videos


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with such a folder."""
    general = [b for b in fake.common_breaks(videos) if b.name != "mask missing"]  # allowed here
    lone = "Annotations/case00/99999.png"

    def no_frames(root: Path, _) -> None:
        for path in (root / "JPEGImages" / "case00").iterdir():
            path.unlink()

    return [
        *general,
        Break("no frames", no_frames, "case00 has no frames"),
        Break(
            "mask without frame",
            lambda root, _: fake.write_labels(root / lone, np.ones((64, 96), np.uint8)),
            "99999",
        ),
        Break(
            "list of an absent video",
            lambda root, _: (root / "ImageSets/train.txt").write_text("case00\nnobody\n"),
            "nobody",
        ),
        Break(
            "spoilt meta.json", lambda root, _: (root / "meta.json").write_text("{"), "meta.json"
        ),
    ]
