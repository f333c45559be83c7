"""A folder of a background and cut-outs, drawn from the generated world, with small settings.

Path:    kit.fake, surgjax.synthetic.single_background -> [single_background.fake] -> archive
"""

import json
from pathlib import Path

import cv2
import numpy as np

from surgjax.synthetic.single_background import (
    SingleBackground,
    SingleBackgroundConfig,
    read_background,
    read_cutouts,
)
from tfds_builders.kit import fake
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo
from tfds_builders.single_background.builder import CUTOUTS, LABELS, SETTINGS

NAMES = {3: "grasper", 7: "hook"}
DRAWING = dict(size=64, variants=3, p_two=0.5, blendings=["paste", "alpha"])
IMAGES = dict(train=4, val=2, seed=5, **DRAWING)
VIDEOS = dict(train=2, val=1, frames=3, seed=5, **DRAWING)


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """The folder; returns what config `images` makes of it."""
    return draw(root, seed)[0]


def draw(root: Path, seed: int = 0) -> tuple[list[FakeVideo], list[FakeVideo]]:
    """The folder; returns what the configs `images` and `videos` make of it."""
    background, _, _ = fake.scene(seed, 1, 64, 96)
    fake.write_image(root / "background.png", background[0])
    for number, value in enumerate(NAMES):
        frames, _, _ = fake.scene(seed + 1 + number, 1, 64, 96)
        fake.write_image(root / CUTOUTS / f"frame{number}.jpg", frames[0])
        mask = np.zeros((64, 96), np.uint8)
        mask[20 + 10 * number : 36 + 10 * number, :50] = value  # a shaft that enters from the left
        fake.write_labels(root / CUTOUTS / f"frame{number}_mask.png", mask)
    (root / LABELS).write_text(json.dumps(NAMES))
    (root / SETTINGS).write_text(json.dumps(dict(images=IMAGES, videos=VIDEOS)))
    return _expected(root, IMAGES), _expected(root, VIDEOS)


def _expected(root: Path, counts: dict) -> list[FakeVideo]:
    settings = SingleBackgroundConfig(size=64, variants=3, p_two=0.5, blendings=("paste", "alpha"))
    generator = SingleBackground(
        read_background(root / "background.png"), read_cutouts(root / CUTOUTS), settings, seed=5
    )
    videos, frames = [], counts.get("frames", 1)
    for split, first in (("train", 0), ("val", 1_000_000)):
        for number in range(first, first + counts[split]):
            item = generator.clip(number, frames)
            names = {k: NAMES[value] for k, value in enumerate(item.categories, 1)}
            made = [
                FakeFrame(
                    f"{number}/{t:05d}",
                    _as_jpeg(item.frames_u8[t]),
                    item.label_maps[t],
                    fake.present(item.label_maps[t], names),
                    "background.png",
                )
                for t in range(frames)
            ]
            videos.append(FakeVideo(f"{split}_{number:07d}", split, made))
    return videos


def _as_jpeg(image_u8: np.ndarray) -> np.ndarray:
    data = cv2.imencode(".jpg", image_u8[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    seen = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert seen is not None
    return np.ascontiguousarray(seen[..., ::-1])


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with such a folder."""
    mask = Path(CUTOUTS, "frame1_mask.png")

    def settings(**values):
        return lambda root, _: (root / SETTINGS).write_text(json.dumps(values))

    return [
        Break(
            "no background",
            lambda root, _: (root / "background.png").unlink(),
            "expected one file background.jpg or background.png, found 0",
        ),
        Break(
            "damaged background",
            lambda root, _: (root / "background.png").write_bytes(b"no picture"),
            "background .*background.png: it is missing or no image",
        ),
        Break(
            "no cut-outs",
            lambda root, _: (root / CUTOUTS).rename(root / "other"),
            r"no \*_mask.png found",
        ),
        Break(
            "damaged mask",
            lambda root, _: (root / mask).write_bytes(b"no picture"),
            "frame1_mask.png: a single-channel image expected",
        ),
        Break(
            "mask of another size",
            lambda root, _: fake.write_labels(root / mask, np.ones((9, 9), np.uint8)),
            "frame1_mask.png: 9x9 pixels, its frame has 96x64",
        ),
        Break(
            "mask without a frame",
            lambda root, _: (root / CUTOUTS / "frame1.jpg").unlink(),
            "frame1_mask.png: no frame frame1",
        ),
        Break(
            "labels that do not occur",
            lambda root, _: (root / LABELS).write_text('{"9": "scissors"}'),
            r"labels \[9\]",
        ),
        Break("spoilt labels", lambda root, _: (root / LABELS).write_text("{"), LABELS),
        Break(
            "label that is no number",
            lambda root, _: (root / LABELS).write_text('{"tool": "scissors"}'),
            "labels.json: expected a value of 1 to 255 and a name, found 'tool'",
        ),
        Break("unknown config", settings(pictures={}), r"settings.json: expected the keys"),
        Break("unknown setting", settings(images=dict(colour=1)), "images: expected some of"),
        Break("wrong count", settings(images=dict(train=-1)), "images, train: expected a whole"),
        Break(
            "unknown blending",
            settings(images=dict(blendings=["glue"])),
            "settings.json: images: blendings",
        ),
    ]
