"""Small archives in the layout of the real ones, drawn from the generated world.

Path:    surgjax.synthetic -> [fake] -> <builder>/fake.py -> an archive on disk, and what it holds
Axes:    frames [T, H, W, 3] uint8 RGB; instance maps [T, H, W] uint8, 0 background, 1..n objects.
Units:   pixels.
Errors:  none of its own.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image

from surgjax.synthetic import SceneConfig, generate_clip
from tfds_builders.kit import video_files


@dataclasses.dataclass
class FakeFrame:
    """What a record read back must equal. `instances` None: not annotated.

    `image` and `labels` are files of the archive, relative to its root, that tests may break;
    labels is empty where one file holds the masks of many frames.
    """

    source: str
    image_u8: np.ndarray
    instances: np.ndarray | None
    objects: dict[int, str]
    image: str = ""
    labels: tuple[str, ...] = ()
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class FakeVideo:
    """Frames in the order of storing."""

    video_id: str
    split: str
    frames: list[FakeFrame]


@dataclasses.dataclass
class Break:
    """A way to spoil an archive, and the message that must come of it (a regular expression)."""

    name: str
    apply: Callable[[Path, list[FakeVideo]], object]
    message: str


def scene(seed: int, frames: int, height: int, width: int, objects: int = 2):
    """(frames, instance maps, n): a clip in which `objects` or more things are seen."""
    config = SceneConfig(min_objects=objects, p_scope_circle=0.0, p_bars=0.0, p_leave=0.0)
    clip = generate_clip(seed, frames, max(height, width, 32), config)
    return (
        np.ascontiguousarray(clip.frames_u8[:, :height, :width]),
        np.ascontiguousarray(clip.label_maps[:, :height, :width]),
        len(clip.object_ids),
    )


def as_classes(instances: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Instance values 1..n to class values, in turn: value k becomes classes[(k - 1) % len]."""
    table = np.zeros(256, np.uint16)
    table[1:] = [classes[k % len(classes)] for k in range(255)]
    return table[instances]


def biggest(instances: np.ndarray) -> np.ndarray:
    """[H, W] bool: the object that covers most of the map; it must show one."""
    values, counts = np.unique(instances[instances > 0], return_counts=True)
    return instances == values[counts.argmax()]


def write_image(path: Path, image_u8: np.ndarray) -> np.ndarray:
    """Writes RGB by the suffix (JPEG, PNG, TIFF); returns what a reader will see."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), image_u8[..., ::-1]):
        raise RuntimeError(f"OpenCV could not write {path}.")
    return read_image(path)


def write_video(path: Path, frames_u8: Sequence[np.ndarray], fps: int) -> None:
    """Writes RGB frames as MPEG-4, with loss; `read_video` tells what a builder will see."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.height, stream.width = frames_u8[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames_u8:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def read_video(path: Path, numbers: Sequence[int]) -> list[np.ndarray]:
    """RGB of the JPEGs that builders store of these frames."""
    images = []
    for _, data in video_files.jpegs(path, numbers):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise RuntimeError(f"OpenCV could not decode a frame of {path}.")
        images.append(np.ascontiguousarray(image[..., ::-1]))
    return images


def read_image(path: Path) -> np.ndarray:
    """RGB, as the pipeline decodes it."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise RuntimeError(f"OpenCV could not read {path}.")
    return np.ascontiguousarray(image[..., ::-1])


def write_labels(path: Path, labels: np.ndarray, palette: bool = False) -> None:
    """A grey (8 or 16 bits), palette or RGB label image, without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if palette:
        picture = Image.fromarray(labels.astype(np.uint8)).convert("P")
        picture.putdata(labels.ravel().tolist())
        picture.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    else:
        picture = Image.fromarray(labels)
    picture.save(path)


def present(instances: np.ndarray, names: dict[int, str]) -> dict[int, str]:
    """The entries of `names` that the map shows."""
    return {value: name for value, name in names.items() if (instances == value).any()}


# --- ways to break any archive -----------------------------------------------------------------


def common_breaks(videos: list[FakeVideo]) -> list[Break]:
    """Breaks that every archive of image files has."""
    frames = [frame for video in videos for frame in video.frames]
    breaks = []
    images = [frame for frame in frames if Path(frame.image).suffix in _IMAGES]
    if images:
        breaks += [
            Break("damaged image", lambda root, _: _cut(root / images[-1].image), "damaged|read"),
        ]
    labels = [f for f in frames if f.labels and Path(f.labels[0]).suffix in _IMAGES]
    if labels:
        name = labels[-1].labels[0]
        breaks += [
            Break("mask missing", lambda root, _: (root / name).unlink(), Path(name).stem),
            Break("mask of another size", lambda root, _: _shrink(root / name), "wrong size"),
            Break("damaged mask", lambda root, _: _cut(root / name), "damaged|read"),
        ]
    return breaks


_IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".bmp")


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _shrink(path: Path) -> None:
    with Image.open(path) as picture:
        small = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.NEAREST)
    small.save(path)


def write_value(path: Path, value) -> None:
    """Puts a value (a number, or a colour) that means nothing into one corner of a label image."""
    with Image.open(path) as picture:
        labels = picture.copy()
    labels.putpixel((0, 0), value)
    labels.save(path)
