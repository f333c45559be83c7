"""A fake archive in the layout of DSAD.

Path:    kit.fake -> [dsad.fake] -> archive
"""

import shutil
from pathlib import Path

import numpy as np

from tfds_builders.dsad.builder import MULTILABEL, NAMES, ORGANS
from tfds_builders.kit import fake
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

FOLDERS = (  # folder, surgery, split, images
    ("colon", "01", "train", 2),
    ("liver", "03", "val", 1),
    ("stomach", "02", "test", 2),
    ("stomach", "04", "train", 1),
    (MULTILABEL, "02", "test", 1),
    (MULTILABEL, "04", "train", 1),
)
MULTI = (1, 2, 5, 6, 7, 8, 9)  # organs that multilabel has


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Eight images: six with one organ annotated, two with seven."""
    images = []
    for place, (subset, surgery, split, count) in enumerate(FOLDERS):
        frames, maps, _ = fake.scene(seed + place, count, 64, 96)
        folder = root / subset / surgery
        for k in range(count):
            name = f"{subset}/{surgery}/image{k:02d}"
            seen = fake.write_image(root / f"{name}.png", frames[k])
            if subset == MULTILABEL:
                truth = fake.as_classes(maps[k], MULTI).astype(np.uint8)
                masks = {v: folder / f"mask{k:02d}_{list(ORGANS)[v - 1]}.png" for v in MULTI}
            else:
                value = list(ORGANS).index(subset) + 1
                truth = np.where(maps[k] == 1, value, 0).astype(np.uint8)
                masks = {value: folder / f"mask{k:02d}.png"}
            for value, path in masks.items():
                fake.write_labels(path, np.where(truth == value, 255, 0).astype(np.uint8))
            if subset != MULTILABEL:
                (folder / "anno_1").mkdir(exist_ok=True)
                shutil.copy(folder / f"mask{k:02d}.png", folder / "anno_1")
            labels = tuple(path.relative_to(root).as_posix() for path in masks.values())
            extra = {"annotated_categories": [v - 1 for v in masks], "subset": subset.encode()}
            objects = fake.present(truth, dict(enumerate(NAMES, 1)))
            frame = FakeFrame(name, seen, truth, objects, f"{name}.png", labels, extra)
            images.append(FakeVideo(f"{subset}_{surgery}_{k:02d}", split, [frame]))
        (folder / "weak_labels.csv").write_text("")
    return images


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with such an archive."""
    single = [video for video in videos if len(video.frames[0].labels) == 1]
    mask = single[0].frames[0].labels[0]
    several = videos[-1].frames[0]

    def unknown_surgery(root: Path, _) -> None:
        shutil.copytree(root / "liver/03", root / "liver/33")

    def unknown_organ(root: Path, _) -> None:
        shutil.copy(
            root / several.labels[0], root / Path(several.image).parent / "mask00_heart.png"
        )

    def no_masks(root: Path, _) -> None:
        for name in several.labels:
            (root / name).unlink()

    return [
        *fake.common_breaks(single),
        Break(
            "unknown mask value",
            lambda root, _: fake.write_value(root / mask, 128),
            "unknown label value 128",
        ),
        Break("unknown surgery", unknown_surgery, "liver/33: .* no such surgery"),
        Break("unknown organ", unknown_organ, "no organ is called 'heart'"),
        Break("multilabel image without masks", no_masks, "expected masks like mask00_liver.png"),
        Break(
            "one mask smaller than its siblings",
            lambda root, _: fake.write_labels(
                root / several.labels[2], np.zeros((32, 48), np.uint8)
            ),
            "wrong size",
        ),
        Break(
            "colours in a mask",
            lambda root, _: fake.write_labels(
                root / mask, np.arange(64 * 96 * 3).reshape(64, 96, 3).astype(np.uint8)
            ),
            "expected a grey label image",
        ),
    ]
