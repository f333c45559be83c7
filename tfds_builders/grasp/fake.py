"""A fake GraSP in the layout of GraSP_30fps: codes of all three forms.

Path:    kit.fake -> [grasp.fake] -> archive
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tfds_builders.grasp.builder import Builder
from tfds_builders.kit import fake, shapes
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

_CASES = {"CASE001": "fold1", "CASE014": "fold2", "CASE041": "test"}
_KEY_FRAMES = (68, 1642)
_NAMES = [name.title() for name in Builder.CATEGORIES]


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Three cases of two key frames, with frames between them that have no annotation."""
    videos: list[FakeVideo] = []
    files: dict[str, dict[str, list]] = {
        name: {"images": [], "annotations": []} for name in ("train", "test", "fold1", "fold2")
    }
    for number, (case, fold) in enumerate(_CASES.items()):
        images, maps, count = fake.scene(seed + number, len(_KEY_FRAMES), 64, 96)
        for t, key in enumerate(_KEY_FRAMES):
            name = f"{case}/{key:09d}.jpg"
            seen = fake.write_image(root / "frames" / name, images[t])
            fake.write_image(root / "frames" / case / f"{key + 1:09d}.jpg", images[t])
            parts = _annotations(maps[t], count, form=number)
            instances, objects = np.zeros((64, 96), np.uint8), {}
            image_id = 10 * number + t
            entries = []
            for value, (category, code, mask) in enumerate(parts, 1):
                instances[mask] = value
                objects[value] = list(Builder.CATEGORIES)[category - 1]
                entries.append(
                    {
                        "id": len(entries),
                        "image_id": image_id,
                        "category_id": category,
                        "segmentation": code,
                        "actions": [1],
                    }
                )
            place = {"id": image_id, "file_name": name, "width": 96, "height": 64}
            for file in ("test",) if fold == "test" else ("train", fold):
                files[file]["images"].append(place)
                files[file]["annotations"] += entries
            objects = fake.present(instances, objects)
            frame = FakeFrame(f"{key:09d}", seen, instances, objects, f"frames/{name}")
            split = "test" if fold == "test" else "train"
            videos.append(FakeVideo(f"{case}_{key:09d}", split, [frame]))
    categories = [{"id": number, "name": name} for number, name in enumerate(_NAMES, 1)]
    (root / "annotations").mkdir()
    for name, content in files.items():
        path = root / "annotations" / f"grasp_short-term_{name}.json"
        path.write_text(json.dumps({**content, "categories": categories}))
    return videos


def _annotations(label_map: np.ndarray, count: int, form: int) -> list[tuple[int, Any, np.ndarray]]:
    """(category, code, the mask that it stands for): compressed, polygons, or plain counts."""
    found = []
    for value in range(1, count + 1):
        mask, category = label_map == value, (value - 1) % len(_NAMES) + 1
        if not mask.any():
            continue
        code: Any = shapes.encode_rle(mask)
        if form == 1:
            polygons, mask = shapes.as_polygons(mask)
            code = [polygon.ravel().tolist() for polygon in polygons]
            if not code:
                continue
        elif form == 2:
            code = {"size": [64, 96], "counts": _counts(mask)}
        found.append((category, code, mask))
    return found


def _counts(mask: np.ndarray) -> list[int]:
    """Run lengths down the columns, beginning with zeros."""
    pixels = np.concatenate([[0], mask.T.ravel().astype(int)])
    edges = np.flatnonzero(np.diff(pixels))
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with this archive."""

    def change(name: str, how):
        def apply(root: Path, _) -> None:
            path = root / "annotations" / f"grasp_short-term_{name}.json"
            content = json.loads(path.read_text())
            how(content)
            path.write_text(json.dumps(content))

        return apply

    train = "annotations/grasp_short-term_train.json"
    return [
        *fake.common_breaks(videos),
        Break(
            "key frame missing",
            lambda root, _: (root / videos[0].frames[0].image).unlink(),
            "CASE001/000000068.jpg",
        ),
        Break("no annotations", lambda root, _: (root / train).unlink(), "train.json: expected"),
        Break("spoilt annotations", lambda root, _: (root / train).write_text("{"), "not JSON"),
        Break(
            "no categories",
            change("train", lambda content: content.pop("categories")),
            "categories is missing",
        ),
        Break(
            "unknown instrument",
            change("train", lambda content: content["categories"][1].update(name="Stapler")),
            "unknown label: category 'Stapler'",
        ),
        Break(
            "unknown category id",
            change("train", lambda content: content["annotations"][0].update(category_id=9)),
            "unknown label: category 9",
        ),
        Break(
            "code of another size",
            change(
                "train",
                lambda content: content["annotations"][0]["segmentation"].update(size=[32, 96]),
            ),
            "wrong size",
        ),
        Break(
            "no mask in an annotation",
            change("train", lambda content: content["annotations"][0].pop("segmentation")),
            "expected polygons or a run-length code",
        ),
        Break(
            "annotation of no image",
            change("test", lambda content: content["annotations"][0].update(image_id=999)),
            "annotation of no image",
        ),
        Break(
            "test case among the training cases",
            change(
                "train",
                lambda content: content["images"][0].update(file_name="CASE041/000000068.jpg"),
            ),
            "CASE041 is in train and in test",
        ),
        Break(
            "a fold without its cases",
            change("fold2", lambda content: content.update(images=[])),
            "2 training cases",
        ),
    ]
