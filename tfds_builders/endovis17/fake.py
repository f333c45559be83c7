"""A fake EndoVis 2017 archive; one sequence has frames of the true size, to be cropped.

Path:    kit.fake -> [endovis17.fake] -> archive
"""

from pathlib import Path

import cv2
import numpy as np

from tfds_builders.endovis17 import frames as endovis
from tfds_builders.endovis17.builder import category_of
from tfds_builders.kit import fake
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

_FOLDERS = {  # sequence: its instruments, in the order of sorting
    1: ("Left_Prograsp_Forceps_labels", "Maryland_Bipolar_Forceps_labels", "Other_labels"),
    5: ("Bipolar_Forceps_labels", "Grasping_Retractor_labels", "Right_Vessel_Sealer"),
}


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Sequence 1 small and in grey, 5 in full size and RGB, as some are; two test sequences."""
    return [
        _training(root, "instrument_1_4_training", 1, 4, seed, full_size=False),
        _testing(root, "instrument_1_4_testing", 1, endovis.FIRST_TEST_FRAME, seed + 2),
        _training(root, "instrument_5_8_training", 5, 1, seed + 1, full_size=True),
        _testing(root, "instrument_9_10_testing", 9, 0, seed + 3),
    ]


def _training(root: Path, release: str, sequence: int, count: int, seed: int, full_size: bool):
    home = root / release / f"instrument_dataset_{sequence}"
    folders, made = _FOLDERS[sequence], []
    images, maps, _ = fake.scene(seed, count, 64, 80)
    for t in range(count):
        image, instances = images[t], fake.as_classes(maps[t], (1, 2, 3)).astype(np.uint8)
        rows = np.arange(instances.shape[0])[:, None]
        values = np.where(instances > 0, (rows // 4 % 3 + 1) * 10, 0).astype(np.uint8)
        for value, folder in enumerate(folders, 1):
            if category_of(folder) == "other":
                values[instances == value] = 40
        if full_size:
            image, instances, values = (_full_size(x) for x in (image, instances, values))
        frame = home / "left_frames" / f"frame{t:03d}.png"
        seen = endovis.crop(fake.write_image(frame, image))
        masks = []
        for value, folder in enumerate(folders, 1):
            mask = home / "ground_truth" / folder / frame.name
            labels = np.where(instances == value, values, 0).astype(np.uint8)
            fake.write_labels(mask, np.stack([labels] * 3, -1) if full_size else labels)
            masks.append(mask.relative_to(root).as_posix())
        names = {value: category_of(folder) for value, folder in enumerate(folders, 1)}
        instances, values = endovis.crop(instances), endovis.crop(values)
        made.append(
            FakeFrame(
                frame.stem,
                seen,
                instances,
                fake.present(instances, names),
                frame.relative_to(root).as_posix(),
                tuple(masks),
                {"parts": values[..., None] // 10},
            )
        )
    return FakeVideo(f"instrument_dataset_{sequence}", "train", made)


def _full_size(pixels: np.ndarray) -> np.ndarray:
    """The drawing as usable area of a full frame; outside of it is something to be cut off."""
    full = np.full((endovis.FULL_SIZE[1], endovis.FULL_SIZE[0], *pixels.shape[2:]), 10, np.uint8)
    left, top, right, bottom = endovis.USABLE_XYXY
    small = cv2.resize(pixels, endovis.SIZE, interpolation=cv2.INTER_NEAREST)
    full[top:bottom, left:right] = small
    return full


def _testing(root: Path, release: str, sequence: int, first: int, seed: int) -> FakeVideo:
    home = root / release / f"instrument_dataset_{sequence}" / "left_frames"
    images, _, _ = fake.scene(seed, 2, 64, 80)
    made = []
    for t in range(2):
        path = home / f"frame{first + t:03d}.png"
        seen = fake.write_image(path, images[t])
        empty = {"parts": np.zeros((64, 80, 1), np.uint8)}
        name = path.relative_to(root).as_posix()
        made.append(FakeFrame(path.stem, seen, None, {}, name, extra=empty))
    return FakeVideo(f"instrument_dataset_{sequence}_test", "test", made)


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with this archive."""
    frame = videos[0].frames[1]
    truth = Path(frame.labels[0]).parents[1]
    again = Path("copy/instrument_dataset_1/left_frames", Path(frame.image).name)
    return [
        *fake.common_breaks(videos),
        Break(
            "unknown part value",
            lambda root, _: fake.write_value(root / frame.labels[0], 15),
            "unknown label value 15",
        ),
        Break(
            "mask in colours",
            lambda root, _: fake.write_value(root / videos[2].frames[0].labels[1], (10, 20, 30)),
            "found colours",
        ),
        Break(
            "unknown instrument",
            lambda root, _: (root / frame.labels[0]).parent.rename(root / truth / "Stapler_labels"),
            "Stapler_labels: unknown label",
        ),
        Break(
            "no masks of a training sequence",
            lambda root, _: (root / truth).rename(root / truth.parent / "elsewhere"),
            "ground_truth: missing",
        ),
        Break(
            "one frame in two places",
            lambda root, _: fake.write_image(root / again, frame.image_u8),
            "in two places",
        ),
        Break(
            "other part values in the archive's own table",
            lambda root, _: (root / "parts_mapping.json").write_text('{"Shaft": 20, "Wrist": 10}'),
            "parts_mapping.json",
        ),
    ]
