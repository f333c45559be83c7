"""A fake archive in the layout of CholecInstanceSeg.

Path:    kit.fake -> [cholecinstanceseg.fake] -> archive
"""

import json
from pathlib import Path

import numpy as np

from tfds_builders.kit import fake, shapes
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

CLASSES = ("grasper", "hook", "grasper")  # of objects 1, 2, 3, ..
# sequence: (split, step of the numbers, do its ids follow the tools?)
SEQUENCES = {
    "VID01_seg8k": ("train", 1, True),
    "VID03_t80_sparse": ("val", 30, True),
    "VID15_t50_full": ("test", 1, False),
}


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """One sequence with temporal ids, one with ids that swap, one too sparse to tell."""
    return [_sequence(root, name, seed + k) for k, name in enumerate(SEQUENCES)]


def _sequence(root: Path, name: str, seed: int) -> FakeVideo:
    split, step, is_temporal = SEQUENCES[name]
    images, maps, count = fake.scene(seed, 5, 96, 128, objects=3)
    is_linked, highest = step == 1, 0  # frames half a minute apart share no objects
    numbers: dict[int, int] = {}
    frames = []
    for t in range(5):
        stem = f"{name.split('_')[1]}_{name[:5]}_{t * step:06d}"
        base = f"{split}/{name}"
        ids = _ids(count, swap=not is_temporal and t % 2 == 1)
        drawn, polygons = _annotated(maps[t], ids)
        if not is_linked:
            numbers = {}
        for value in polygons:
            if value not in numbers:
                highest += 1
                numbers[value] = highest
        truth = np.zeros(drawn.shape, np.uint16)
        for value in polygons:
            truth[drawn == value] = numbers[value]
        image, label = f"{base}/img_dir/{stem}.png", f"{base}/ann_dir/{stem}.json"
        seen = fake.write_image(root / image, images[t])
        size = drawn.shape if step == 1 else (None, None)  # many files of the set do not tell it
        _write(root / label, f"img_dir/{stem}.png", size, ids, polygons)
        shown = [value for value in polygons if (drawn == value).any()]
        names = {numbers[value]: ids[value][0] for value in shown}
        groups = [ids[value][1] for value in sorted(shown, key=lambda v: numbers[v])]
        policy = b"group_id" if is_linked and is_temporal else b"overlap"
        extra = {"group_ids": groups, "identity": policy}
        frames.append(FakeFrame(stem, seen, truth, names, image, (label,), extra))
    return FakeVideo(name, split, frames)


def _ids(count: int, swap: bool) -> dict[int, tuple[str, int]]:
    """(class, id within the class) of objects 1..count; `swap` turns the ids of a class round."""
    names = {value: CLASSES[(value - 1) % len(CLASSES)] for value in range(1, count + 1)}
    result = {}
    for kind in sorted(set(names.values())):
        members = [value for value, name in names.items() if name == kind]
        order = list(reversed(members)) if swap else members
        result.update({value: (kind, place) for place, value in enumerate(order, 1)})
    return result


def _annotated(instances: np.ndarray, ids) -> tuple[np.ndarray, dict[int, list[np.ndarray]]]:
    """Object values as drawn from polygons, later ones on top, and the polygons in file order."""
    drawn = np.zeros(instances.shape, np.uint16)
    polygons: dict[int, list[np.ndarray]] = {}
    for value in sorted(ids, key=lambda v: ids[v]):
        found, filled = shapes.as_polygons(instances == value)
        if found:
            polygons[value] = found
            drawn[filled] = value
    return drawn, polygons


def _write(path: Path, image: str, shape, ids, polygons) -> None:
    entries = [
        dict(
            label=ids[value][0],
            points=polygon.astype(float).tolist(),
            group_id=ids[value][1],
            description="",
            shape_type="polygon",
            flags=None,
        )
        for value, found in polygons.items()
        for polygon in found
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = dict(version="1.0.0", flags={}, shapes=entries, imagePath=image)
    path.write_text(json.dumps({**content, "imageHeight": shape[0], "imageWidth": shape[1]}))


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with such an archive."""
    label = videos[0].frames[1].labels[0]

    def edit(root: Path, **values) -> None:
        content = json.loads((root / label).read_text())
        content["shapes"][0].update(values)
        (root / label).write_text(json.dumps(content))

    def grow(root: Path, _) -> None:
        content = json.loads((root / label).read_text())
        content["imageWidth"] *= 2
        (root / label).write_text(json.dumps(content))

    def move(root: Path, _) -> None:
        (root / "test/VID15_t50_full").rename(root / "train/VID15_t50_full")

    return [
        *fake.common_breaks(videos),
        Break("unknown class", lambda root, _: edit(root, label="stapler"), "unknown label 'stapl"),
        Break("not a polygon", lambda root, _: edit(root, shape_type="circle"), "found a circle"),
        Break("spoilt points", lambda root, _: edit(root, points=[1, 2, 3]), r"points \[N, 2\]"),
        Break("spoilt JSON", lambda root, _: (root / label).write_text("{"), "not JSON"),
        Break("JSON without shapes", lambda root, _: (root / label).write_text("{}"), "shapes"),
        Break("annotation missing", lambda root, _: (root / label).unlink(), Path(label).name),
        Break("annotation of another size", grow, "wrong size"),
        Break("sequence in another split", move, "train/VID15_t50_full: expected test"),
        Break(
            "unknown sequence",
            lambda root, _: (root / "val/VID03_t80_sparse").rename(root / "val/VID99_t50_full"),
            "names no sequence VID99_t50_full",
        ),
    ]
