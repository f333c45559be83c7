"""A fake archive in the layout of Endoscapes2023.

Path:    kit.fake -> [endoscapes2023.fake] -> archive
"""

import json
import shutil
from pathlib import Path

import numpy as np

from tfds_builders.endoscapes2023.annotations import IGNORE, NAMES
from tfds_builders.kit import fake, shapes
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

VIDEOS = {
    "4": ("train", True),
    "7": ("train", False),
    "126": ("val", True),
    "165": ("test", True),
    "9": ("train", True),
}
FRAMES = 5
CATEGORY_NAMES = [name.replace(" ", "_") for name in NAMES]


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Five videos: masks on frames 0 and 3 of those in Seg50, boxes there, CVS on 0, 2, 4."""
    videos: dict[str, FakeVideo] = {}
    # images with boxes, boxes, images with CVS, images with masks
    files = {split: ([], [], [], []) for split in ("train", "val", "test")}
    for place, (name, (split, in_seg50)) in enumerate(VIDEOS.items()):
        images, maps, _ = fake.scene(seed + place, FRAMES, 64, 96)
        frames = [
            _frame(root, name, split, in_seg50, t, images[t], maps[t], files[split])
            for t in range(FRAMES)
        ]
        videos[name] = FakeVideo(name, split, frames)
    for split, lists in files.items():
        _write_lists(root, split, *lists)
    label_map = {"background": 0, **{name: k for k, name in enumerate(CATEGORY_NAMES, 1)}}
    (root / "seg_label_map.txt").write_text(json.dumps(label_map))
    (root / "all_metadata.csv").write_text("vid,frame\n")
    return list(videos.values())


def _frame(root, name, split, in_seg50, t, image_u8, instances, files) -> FakeFrame:
    stem = f"{name}_{5000 + 25 * t}"
    image = f"{split}/{stem}.jpg"
    seen = fake.write_image(root / image, image_u8)
    has_mask, has_cvs = in_seg50 and t % 3 == 0, t % 2 == 0
    labels = fake.as_classes(instances, (5, 6, 2, 6)).astype(np.uint8)
    labels[:2] = IGNORE
    mask = f"semseg/{stem}.png"
    extra = _boxes(instances, files, f"{stem}.jpg", t) if t % 3 == 0 else _no_boxes(instances)
    cvs = [0.0, t / 3, 1.0] if has_cvs else [0.0, 0.0, 0.0]
    if has_cvs:
        tags = {"is_ds_keyframe": True, "is_det_keyframe": t % 3 == 0, "ds": cvs}
        files[2].append({"id": len(files[2]), "file_name": f"{stem}.jpg", **tags})
    if has_mask:
        fake.write_labels(root / mask, np.stack([labels] * 3, -1))
        files[3].append({"id": len(files[3]), "file_name": f"{stem}.jpg"})
    if in_seg50:  # every frame of such a video, with a mask or without
        (root / f"{split}_seg").mkdir(exist_ok=True)
        shutil.copy(root / image, root / f"{split}_seg/{stem}.jpg")
    extra.update(has_cvs=has_cvs, cvs=np.array(cvs, np.float32))
    names = fake.present(labels, dict(enumerate(NAMES, 1))) if has_mask else {}
    files_of = (mask,) if has_mask else ()
    return FakeFrame(stem, seen, labels if has_mask else None, names, image, files_of, extra)


def _no_boxes(instances: np.ndarray) -> dict:
    return {
        "has_boxes": False,
        "boxes_xyxy": np.zeros((0, 4), np.float32),
        "box_category": [],
        "box_masks": np.zeros((*instances.shape, 1), np.uint8),
    }


def _boxes(instances: np.ndarray, files, file_name: str, t: int) -> dict:
    """Adds a frame's boxes to the COCO lists; frame 3 has its masks as run-length codes."""
    boxed, boxes = files[:2]
    identity = len(boxed)
    height, width = instances.shape
    boxed.append(dict(id=identity, file_name=file_name, height=height, width=width))
    drawn = np.zeros(instances.shape, np.uint8)
    corners, categories = [], []
    for value in range(1, int(instances.max()) + 1):
        polygons, filled = shapes.as_polygons(instances == value)
        if not polygons:
            continue
        rows, columns = np.nonzero(filled)
        x, y = int(columns.min()), int(rows.min())
        corners.append([x, y, int(columns.max()) + 1, int(rows.max()) + 1])
        category = (value - 1) % len(NAMES)
        categories.append(category)
        drawn[filled] = len(corners)
        code = shapes.encode_rle(filled) if t == 3 else [p.ravel().tolist() for p in polygons]
        boxes.append(
            dict(
                id=len(boxes),
                image_id=identity,
                category_id=category,
                bbox=[x, y, corners[-1][2] - x, corners[-1][3] - y],
                segmentation=code,
                iscrowd=0,
            )
        )
    return {
        "has_boxes": True,
        "boxes_xyxy": np.array(corners, np.float32).reshape(-1, 4),
        "box_category": categories,
        "box_masks": drawn[..., None],
    }


def _write_lists(root: Path, split: str, boxed, boxes, rated, masked) -> None:
    categories = [dict(id=k, name=name) for k, name in enumerate(CATEGORY_NAMES)]
    coco = dict(images=boxed, annotations=boxes, categories=categories)
    (root / split / "annotation_coco.json").write_text(json.dumps(coco))
    coco = dict(images=rated, annotations=[], categories=categories)
    (root / split / "annotation_ds_coco.json").write_text(json.dumps(coco))
    (root / split / "annotation_coco_vid.json").write_text("{}")
    coco = dict(images=masked, annotations=[], categories=categories)
    (root / f"{split}_seg" / "annotation_coco.json").write_text(json.dumps(coco))
    members = [name for name, (place, in_seg50) in VIDEOS.items() if place == split and in_seg50]
    (root / f"{split}_seg_vids.txt").write_text("".join(f"{int(name):.18e}\n" for name in members))


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with such an archive."""
    mask = videos[0].frames[0].labels[0]
    coco = "train/annotation_coco.json"

    def edit(root: Path, name: str, change) -> None:
        content = json.loads((root / name).read_text())
        change(content)
        (root / name).write_text(json.dumps(content))

    def label_map(root: Path, text: str) -> None:
        (root / "seg_label_map.txt").write_text(text)

    def move(root: Path, _) -> None:
        (root / "val/126_5000.jpg").rename(root / "train/126_5000.jpg")

    return [
        *fake.common_breaks(videos),
        Break(
            "unknown class value",
            lambda root, _: fake.write_value(root / mask, (9, 9, 9)),
            "unknown label value 9",
        ),
        Break(
            "unknown name in the label map",
            lambda root, _: label_map(root, "background: 0\ncolon: 1\n"),
            "unknown label: class 'colon'",
        ),
        Break("spoilt label map", lambda root, _: label_map(root, "tool 6 7"), "pairs of a class"),
        Break("spoilt JSON", lambda root, _: (root / coco).write_text("["), "not JSON"),
        Break(
            "unknown category",
            lambda root, _: edit(root, coco, lambda c: c["annotations"][0].update(category_id=9)),
            "unknown label: category 9",
        ),
        Break(
            "box outside",
            lambda root, _: edit(
                root, coco, lambda c: c["annotations"][0].update(bbox=[90, 0, 40, 9])
            ),
            "does not lie in the 96x64",
        ),
        Break(
            "two CVS criteria",
            lambda root, _: edit(
                root,
                "val/annotation_ds_coco.json",
                lambda c: c["images"][0].update(ds=[0, 1]),
            ),
            "expected three CVS criteria",
        ),
        Break("video in another split", move, "has video 126 in val, not in train"),
        Break(
            "mask without frame",
            lambda root, _: fake.write_labels(root / "semseg/4_1.png", np.ones((64, 96), np.uint8)),
            "semseg/4_1.png",
        ),
    ]
