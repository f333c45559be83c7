"""A fake EndoVis 2018 archive: the challenge's releases and, beside them, ISINet's types.

Path:    kit.fake -> [endovis18.fake] -> archive
"""

import json
from pathlib import Path

import numpy as np

from tfds_builders.endovis18.builder import COLOURS, SCENE, TYPES
from tfds_builders.kit import fake
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

_HOMES = {
    "seq_1": "miccai_challenge_2018_release_1/seq_1",
    "seq_5": "miccai_challenge_release_2/seq_5",
    "test_seq_1": "test_data/test_data/seq_1",
}
_SPLITS = {"seq_1": "train", "seq_5": "val", "test_seq_1": "test"}
_TYPES, _SCENE = (4, 1, 6), (1, 4, 2, 9)  # ids drawn in turn


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """What the config `types` must read. Types keep a copy of the frames of seq_1 only."""
    return _draw(root, seed)[0]


def make_scene(root: Path, seed: int = 0) -> list[FakeVideo]:
    """The same archive; what the config `scene` must read."""
    return _draw(root, seed)[1]


def _draw(root: Path, seed: int) -> tuple[list[FakeVideo], list[FakeVideo]]:
    types, scene = [], []
    for number, (name, home) in enumerate(_HOMES.items()):
        images, maps, _ = fake.scene(seed + number, 3, 64, 80)
        typed, seen = [], []
        for t in range(3):
            frame = f"frame{t:03d}"
            image = f"{home}/left_frames/{frame}.png"
            pixels = fake.write_image(root / image, images[t])
            classes = fake.as_classes(maps[t], _SCENE)
            if name == "test_seq_1":
                seen.append(FakeFrame(frame, pixels, None, {}, image))
                continue
            seen.append(_scene_frame(root, home, name, frame, image, pixels, classes, t))
            ids = fake.as_classes(maps[t], _TYPES)
            typed.append(_typed_frame(root, name, frame, image, pixels, ids))
        scene.append(FakeVideo(name, _SPLITS[name], seen))
        if typed:
            types.append(FakeVideo(name, _SPLITS[name], typed))
    table = [
        {"name": ("background-tissue", *SCENE)[value].replace(" ", "-"), "color": colour}
        for colour, value in COLOURS.items()
    ]
    (root / "miccai_challenge_2018_release_1" / "labels.json").write_text(json.dumps(table))
    junk = root / "miccai_challenge_2018_release_1/__MACOSX/seq_1/left_frames/._frame000.png"
    junk.parent.mkdir(parents=True)
    junk.write_bytes(b"not an image")
    return types, scene


def _scene_frame(root, home, name, frame, image, pixels, classes, t) -> FakeFrame:
    colours = np.zeros((*classes.shape, 3), np.uint8)
    for colour, value in COLOURS.items():
        colours[classes == value] = colour
    mask = f"{home}/labels/{frame}.png"
    if (name, t) == ("seq_1", 1):  # the first release was wrong here
        fake.write_labels(root / mask, np.zeros_like(colours))
        mask = f"repairs/{name}_{frame}.png"
    fake.write_labels(root / mask, colours)
    names = dict(enumerate(SCENE, 1))
    return FakeFrame(frame, pixels, classes, fake.present(classes, names), image, (mask,))


def _typed_frame(root, name, frame, image, pixels, ids) -> FakeFrame:
    place = f"{_SPLITS[name]}/annotations/{name}_{frame}.png"
    fake.write_labels(root / place, ids.astype(np.uint8))
    if name == "seq_1":
        image = f"train/images/{name}_{frame}.png"
        fake.write_image(root / image, pixels)
    names = dict(enumerate(TYPES, 1))
    return FakeFrame(frame, pixels, ids, fake.present(ids, names), image, (place,))


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with the config `types`."""
    mask = videos[0].frames[1].labels[0]
    general = [b for b in fake.common_breaks(videos) if b.name != "mask missing"]  # defines frames
    return [
        *general,
        Break(
            "unknown type",
            lambda root, _: fake.write_value(root / mask, 8),
            "unknown label value 8",
        ),
        Break(
            "no frame to a mask",
            lambda root, _: (root / videos[1].frames[0].image).unlink(),
            "seq_5_frame000.png",
        ),
        Break(
            "no sequence of the challenge",
            lambda root, _: (root / mask).rename((root / mask).with_name("seq_8_frame001.png")),
            "seq_8 is no sequence",
        ),
        Break(
            "one mask in two places",
            lambda root, _: fake.write_labels(
                root / "val/annotations" / Path(mask).name, np.zeros((64, 80), np.uint8)
            ),
            "in two places",
        ),
        Break(
            "spoilt class table",
            lambda root, _: (root / "labels_2017.json").write_text("["),
            "labels_2017.json: not JSON",
        ),
    ]
