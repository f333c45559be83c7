"""A fake Ref-EndoVis17, and the drawing that Ref-EndoVis18's shares.

Path:    kit.fake -> [ref_endovis17.fake] -> archive
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tfds_builders.endovis17 import frames as endovis
from tfds_builders.kit import fake
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

_HOME = "Ref-Endovis17"
_ALONE = {"action": 5, "location": 4, "unique": True}
_ONE_OF_TWO = {"action": 6, "location": 7, "unique": 0}


@dataclasses.dataclass
class Sequence:
    """`says` gives the state in Meta and the sentence that must come of it, by object."""

    name: str
    split: str
    images: dict[int, str]  # frame number: image file
    meta: dict[int, str]  # names as Meta has them
    stored: dict[int, str]  # categories that must be stored
    says: dict[int, tuple[dict[str, Any], str]]
    values: tuple[int, ...]  # drawn in turn
    full_size: bool = False


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Frames from the challenge's archives (one of full size), and some put beside the masks."""
    home = "instrument_1_4_training/instrument_dataset_1/left_frames"
    later = "instrument_1_4_testing/instrument_dataset_1/left_frames"
    beside = f"{_HOME}/train/JPEGImages/seq_9"
    alone = (_ALONE, "bipolar forceps are manipulating tissue")
    one_of_two = (_ONE_OF_TWO, "large needle driver is grasping tissue on the top left")
    first = {1: "bipolar forceps", 3: "large needle driver"}
    swapped = {2: "bipolar forceps", 4: "prograsp forceps"}
    sequences = [
        Sequence(
            "seq_1",
            "train",
            {0: f"{home}/frame000.png", 1: f"{home}/frame001.png", 225: f"{later}/frame225.png"},
            first,
            first,
            {1: alone, 3: one_of_two},
            (1, 3),
        ),
        Sequence(
            "seq_9",
            "train",
            {t: f"{beside}/{t:05d}.png" for t in range(2)},
            {2: "prograsp forceps", 4: "bipolar forceps"},  # the first release
            swapped,
            {2: alone, 4: (_ALONE, "prograsp forceps are manipulating tissue")},
            (2, 4),
        ),
        Sequence(
            "seq_5",
            "val",
            {0: "instrument_5_8_training/instrument_dataset_5/left_frames/frame000.png"},
            {1: "Grasping Retractor", 2: "vessel sealer"},
            {1: "grasping retractor", 2: "vessel sealer"},
            {2: (_ALONE, "the vessel sealer, closed"), 1: (_ALONE, "grasping retractor is idle")},
            (1, 2),
            full_size=True,
        ),
    ]
    return draw(root, seed, _HOME, sequences)


def draw(root: Path, seed: int, home: str, sequences: list[Sequence]) -> list[FakeVideo]:
    """Images, masks, Meta and expressions; what must be read back."""
    videos, expressions = [], {}
    for number, one in enumerate(sequences):
        folder = f"{home}/{'train' if one.split == 'train' else 'valid'}"
        images, maps, _ = fake.scene(seed + number, len(one.images), 64, 80)
        made, meta = [], {"info": {"category": one.meta}, "frames": {}}
        for t, (frame, image) in enumerate(one.images.items()):
            values = fake.as_classes(maps[t], one.values).astype(np.uint8)
            image_u8 = images[t]
            if one.full_size:
                image_u8, values = _full_size(image_u8), _enlarged(values)
            seen = endovis.crop(fake.write_image(root / image, image_u8))
            mask = f"{folder}/Annotations/{one.name}/{frame:05d}.png"
            fake.write_labels(root / mask, values, palette=not one.full_size)
            instances = np.where(np.isin(values, list(one.stored)), values, 0)
            states = {k: state for k, (state, _) in one.says.items() if (values == k).any()}
            meta["frames"][f"{frame:05d}"] = states
            spoken = one.says if one.split == "val" else states
            expected = {
                "instance_id": list(spoken),
                "text": [one.says[k][1].encode() for k in spoken],
            }
            objects = fake.present(instances, one.stored)
            extra = {"expressions": expected}
            made.append(FakeFrame(f"{frame:05d}", seen, instances, objects, image, (mask,), extra))
        _write(root / folder / "Meta" / f"{one.name}.json", meta)
        videos.append(FakeVideo(one.name, one.split, made))
        if one.split == "val":
            spoken = {str(n): {"exp": s, "obj_id": str(k)} for n, (k, (_, s)) in _said(one)}
            frames = [f"{frame:05d}" for frame in one.images]
            entry = {"expressions": spoken, "frames": frames, "first_frame": {"0": 0}}
            expressions[one.name] = entry
    _write(root / home / "valid" / "meta_expressions.json", {"videos": expressions})
    return videos


def _said(one: Sequence):
    return enumerate(one.says.items())


def _write(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _enlarged(pixels: np.ndarray) -> np.ndarray:
    return cv2.resize(pixels, endovis.SIZE, interpolation=cv2.INTER_NEAREST)


def _full_size(image_u8: np.ndarray) -> np.ndarray:
    full = np.full((endovis.FULL_SIZE[1], endovis.FULL_SIZE[0], 3), 200, np.uint8)
    left, top, right, bottom = endovis.USABLE_XYXY
    full[top:bottom, left:right] = _enlarged(image_u8)
    return full


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with either year's set."""
    mask = videos[0].frames[0].labels[0]
    home = mask.split("/")[0]
    name = videos[0].video_id
    meta = f"{home}/train/Meta/{name}.json"

    def change_meta(change):
        def apply(root: Path, _) -> None:
            value = json.loads((root / meta).read_text())
            change(value)
            (root / meta).write_text(json.dumps(value))

        return apply

    def state(value: dict) -> dict:
        return next(iter(value["frames"]["00000"].values()))

    return [
        *fake.common_breaks(videos),
        Break(
            "object without a name",
            lambda root, _: fake.write_value(root / mask, 10),
            "unknown label value 10",
        ),
        Break(
            "unknown category",
            change_meta(lambda value: value["info"]["category"].update({"1": "spoon"})),
            f"{name}.json: unknown label: category 'spoon'",
        ),
        Break(
            "unknown action",
            change_meta(lambda value: state(value).update(action=14)),
            "unknown label: action 14",
        ),
        Break(
            "Meta without an action",
            change_meta(lambda value: state(value).pop("action")),
            "expected the key action",
        ),
        Break("spoilt Meta", lambda root, _: (root / meta).write_text("{"), "not JSON"),
        Break(
            "no sentences of a sequence",
            lambda root, _: _write(
                root / home / "valid" / "meta_expressions.json", {"videos": {"seq_99": {}}}
            ),
            "is missing among the videos",
        ),
        Break(
            "mask without a frame",
            lambda root, _: fake.write_labels(
                root / Path(mask).with_name("00290.png"), np.ones((64, 80), np.uint8)
            ),
            "00290.png",
        ),
        Break(
            "no annotations",
            lambda root, _: (root / home).rename(root / "elsewhere"),
            f"the folder {home} is missing",
        ),
    ]
