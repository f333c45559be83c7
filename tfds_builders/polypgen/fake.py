"""A fake PolypGen: two images a centre, two sequences with polyps, two without.

Path:    kit.fake -> [polypgen.fake] -> archive
"""

from pathlib import Path

import numpy as np

from tfds_builders.kit import fake
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo
from tfds_builders.polypgen.builder import CENTRES

SPLITS = {"C1": "train", "C2": "train", "C3": "train", "C4": "train", "C5": "val", "C6": "test"}


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """The whole archive; returns what config `images` holds."""
    return draw(root, seed)[0]


def draw(root: Path, seed: int = 0) -> tuple[list[FakeVideo], list[FakeVideo]]:
    """Draws the archive; returns what the configs `images` and `sequences` hold."""
    images = _draw_images(root, seed)
    sequences = _draw_sequences(root, seed)
    for name in ("dataDetails_PolypGen_SingleFrames/dataDetails_C1.csv", "license.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("not read\n")
    return images, sequences


def _draw_images(root: Path, seed: int) -> list[FakeVideo]:
    videos = []
    for number, centre in enumerate(CENTRES):
        frames, maps, _ = fake.scene(seed + number, 2, 64, 96)
        for t in range(2):
            stem = f"{centre}_EndoCV2021_{t:05d}" + ("_" if (centre, t) == ("C3", 1) else "")
            frame = _draw(
                root / f"data_{centre}/images_{centre}/{stem}.jpg",
                root / f"data_{centre}/masks_{centre}/{stem.rstrip('_')}_mask.jpg",
                frames[t],
                fake.biggest(maps[t]) & (centre != "C4"),  # C4 has images without a polyp
                root,
            )
            videos.append(FakeVideo(f"{centre}_{stem}", SPLITS[centre], [frame]))
    return videos


def _draw_sequences(root: Path, seed: int) -> list[FakeVideo]:
    videos = []
    for number, (name, split) in enumerate((("seq2", "train"), ("seq17", "test"))):
        frames, maps, _ = fake.scene(seed + 20 + number, 4, 64, 96)
        folder = root / "sequenceData" / "positive" / name
        made = []
        for t, picture in zip((2, 10, 9, 110), range(4), strict=True):  # order by number, not name
            stem = f"{number}_endocv2021_positive_{t}"
            image = folder / f"images_{name}" / f"{stem}.jpg"
            mask = folder / f"masks_{name}" / f"{stem}_mask.jpg"
            polyp = fake.biggest(maps[picture]) & (t != 110)
            made.append(_draw(image, mask, frames[picture], polyp, root))
        (folder / f"masks_{name}" / "stray.txt").write_text("polyp 1 2 3 4\n")  # as in the archive
        videos.append(FakeVideo(name, split, [made[0], made[2], made[1], made[3]]))
    for number, (name, split) in enumerate((("seq1_neg", "train"), ("seq11_neg", "val"))):
        frames, _, _ = fake.scene(seed + 30 + number, 3, 64, 96)
        made = []
        for t in range(3):
            image = f"sequenceData/negativeOnly/{name}/frame_{t}.jpg"
            seen = fake.write_image(root / image, frames[t])
            made.append(FakeFrame(f"frame_{t}", seen, np.zeros((64, 96), np.uint8), {}, image))
        videos.append(FakeVideo(name, split, made))
    return videos


def _draw(image: Path, mask: Path, picture, polyp: np.ndarray, root: Path) -> FakeFrame:
    seen = fake.write_image(image, picture)
    blurred = fake.write_image(mask, np.repeat(polyp[..., None] * np.uint8(255), 3, -1))
    polyp = (blurred[..., 0] > 127).astype(np.uint8)  # JPEG moves the border a little
    return FakeFrame(
        image.stem,
        seen,
        polyp,
        fake.present(polyp, {1: "polyp"}),
        image.relative_to(root).as_posix(),
        (mask.relative_to(root).as_posix(),),
    )


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with the images."""
    mask = videos[0].frames[0].labels[0]
    lone = "data_C2/masks_C2/nobody_mask.jpg"
    white = np.full((64, 96, 3), 255, np.uint8)
    grey = np.full((64, 96, 3), 128, np.uint8)
    return [
        *fake.common_breaks(videos),
        Break(
            "grey area in a mask",
            lambda root, _: fake.write_image(root / mask, grey),
            r"unknown label colour \(128, 128, 128\)",
        ),
        Break(
            "mask without an image",
            lambda root, _: fake.write_image(root / lone, white),
            "nobody_mask",
        ),
    ]
