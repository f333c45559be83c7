"""Prompt files: what to track, as JSON in pixels of the video or as a palette PNG.

Path:    prompts.json or mask.png -> [prompt_file] -> video (predictor)
Axes:    points (N, 2) and box (4,) are x, y in pixels of the video; mask is bool (H, W).
Units:   frame_index counts decoded frames from 0; object ids are 1 to 254, the values of the
         written masks (0 is background, 255 is ignored).
Errors:  PromptError, naming object, frame, what was expected and what was found.
Source:  ours; a palette PNG is what DAVIS 2017 ships as a first frame's annotation.
Differs: SAM 2's tools check prompts one by one when they are used; here the whole file is checked
         against the video before anything heavy starts, and unknown keys are refused.
"""

import dataclasses
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

MAX_OBJECT_ID = 254
IGNORED_VALUE = 255
_FILE_KEYS = {"objects"}
_OBJECT_KEYS = {"id", "name", "prompts"}
_PROMPT_KEYS = {"frame", "points", "labels", "box", "mask", "correction"}
_MASK_MODES = {"1", "L", "P", "I", "I;16"}


class PromptError(ValueError):
    """A prompt file that cannot be used, with the place and the rule it breaks."""


@dataclasses.dataclass(frozen=True)
class FramePrompt:
    """What the user says about one object on one frame: points and/or a box, or a mask."""

    frame_index: int
    points_xy: np.ndarray | None = None  # (N, 2) float32
    labels: np.ndarray | None = None  # (N,) int32, 1 on the object, 0 off it
    box_xyxy: np.ndarray | None = None  # (4,) float32
    mask: np.ndarray | None = None  # bool (H, W)
    mask_path: Path | None = None  # where the mask was read, if in a file of its own
    is_correction: bool = False  # answered when tracking comes by, see `add_correction`


@dataclasses.dataclass(frozen=True)
class PromptedObject:
    """One object with its prompts, earliest frame first."""

    object_id: int
    name: str | None
    prompts: tuple[FramePrompt, ...]

    @property
    def starts(self) -> list[int]:
        """Frames of the prompts that are no corrections, sorted."""
        return [prompt.frame_index for prompt in self.prompts if not prompt.is_correction]


@dataclasses.dataclass(frozen=True)
class PromptFile:
    """All objects of one file, in the order of the file."""

    path: str
    objects: tuple[PromptedObject, ...]

    @property
    def frames(self) -> list[int]:
        """Every prompted frame, sorted."""
        return sorted({prompt.frame_index for item in self.objects for prompt in item.prompts})

    @property
    def starts(self) -> list[int]:
        """Every frame with a prompt that is no correction, sorted."""
        return sorted({frame for item in self.objects for frame in item.starts})


@dataclasses.dataclass(frozen=True)
class _Video:
    """What prompts are checked against."""

    width: int
    height: int
    num_frames: int | None  # None: a live stream


def read_prompts(path: str | Path, width: int, height: int, num_frames: int | None) -> PromptFile:
    """Reads and checks a prompt file (JSON or palette PNG) for a video of this size and length."""
    path = Path(path)
    video = _Video(width, height, num_frames)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise PromptError(f"prompts {path} does not exist.") from None
    except OSError as error:
        raise PromptError(f"prompts {path} cannot be read: {error.strerror}.") from None
    if data.startswith(b"\x89PNG"):
        return _from_palette(path, video)
    return _from_json(path, data, video)


def _fail(where: str, expected: str, found: Any) -> PromptError:
    return PromptError(f"{where}: {expected} expected, {_shown(found)} found.")


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _check_keys(where: str, value: Any, allowed: Iterable[str], required: Iterable[str]) -> None:
    if not isinstance(value, dict):
        raise _fail(where, "an object {...}", value)
    unknown = sorted(set(value) - set(allowed))
    if unknown:
        known = ", ".join(sorted(allowed))
        raise PromptError(f"{where}: unknown key {', '.join(unknown)}; the keys are {known}.")
    missing = sorted(set(required) - set(value))
    if missing:
        raise PromptError(f"{where}: key {', '.join(missing)} is missing.")


def _integer(where: str, value: Any, expected: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _fail(where, expected, value)
    return value


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond any float
        return False


def _numbers(where: str, value: Any, count: int, expected: str) -> list[float]:
    """`count` finite numbers; JSON's true, "3" and NaN are none."""
    whole = isinstance(value, list) and len(value) == count
    if not whole or not all(
        isinstance(v, int | float) and not isinstance(v, bool) and _is_finite(v) for v in value
    ):
        raise _fail(where, expected, value)
    return [float(v) for v in value]


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict:
    """Python keeps the last of two equal keys without a word; a prompt would be lost."""
    keys = [key for key, _ in pairs]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise PromptError(f"key {', '.join(twice)} appears twice in one object {{...}}.")
    return dict(pairs)


def _from_json(path: Path, data: bytes, video: _Video) -> PromptFile:
    try:
        content = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_unique_pairs)
    except PromptError as error:
        raise PromptError(f"prompts {path}: {error}") from None
    except UnicodeDecodeError:
        raise PromptError(f"prompts {path} is neither JSON text nor a PNG image.") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise PromptError(f"prompts {path} is not valid JSON: {error}.") from None
    _check_keys(f"prompts {path}", content, _FILE_KEYS, _FILE_KEYS)
    if not isinstance(content["objects"], list) or not content["objects"]:
        raise _fail(f"prompts {path}: objects", "a list of at least one", content["objects"])
    objects = []
    for place, item in enumerate(content["objects"]):
        item = _object(f"prompts {path}: objects[{place}]", item, path.parent, video)
        if any(item.object_id == other.object_id for other in objects):
            raise PromptError(
                f"prompts {path}: object {item.object_id} appears twice; "
                "put all of its prompts under one entry."
            )
        objects.append(item)
    return PromptFile(str(path), tuple(objects))


def _object(where: str, item: Any, folder: Path, video: _Video) -> PromptedObject:
    _check_keys(where, item, _OBJECT_KEYS, {"id", "prompts"})
    expected = f"an integer from 1 to {MAX_OBJECT_ID}"
    object_id = _integer(f"{where}: id", item["id"], expected)
    if not 1 <= object_id <= MAX_OBJECT_ID:
        raise _fail(f"{where}: id", expected, object_id)
    where = f"{where.split(': objects[')[0]}: object {object_id}"
    name = item.get("name")
    if name is not None and not isinstance(name, str):
        raise _fail(f"{where}: name", "a text", name)
    if not isinstance(item["prompts"], list) or not item["prompts"]:
        raise _fail(f"{where}: prompts", "a list of at least one", item["prompts"])
    by_frame: dict[int, FramePrompt] = {}
    for place, entry in enumerate(item["prompts"]):
        prompt = _prompt(where, f"{where}, prompts[{place}]", entry, folder, video)
        if prompt.frame_index in by_frame:
            raise PromptError(
                f"{where}, frame {prompt.frame_index}: two entries for one frame; "
                "put points and box together in one."
            )
        by_frame[prompt.frame_index] = prompt
    prompts = tuple(by_frame[frame] for frame in sorted(by_frame))
    starts = [prompt for prompt in prompts if not prompt.is_correction]
    if not starts:
        raise PromptError(
            f"{where}: all of its prompts are corrections; one that is none says where it starts."
        )
    if all(prompt.mask is not None and not prompt.mask.any() for prompt in starts):
        raise PromptError(f"{where}: its mask is zero everywhere; nothing says where it is.")
    return PromptedObject(object_id, name, prompts)


def _prompt(owner: str, where: str, entry: Any, folder: Path, video: _Video) -> FramePrompt:
    _check_keys(where, entry, _PROMPT_KEYS, {"frame"})
    frame_index = _integer(f"{where}: frame", entry["frame"], "an integer, 0 for the first frame")
    where = f"{owner}, frame {frame_index}"
    if frame_index < 0:
        raise _fail(f"{where}: frame", "an integer, 0 for the first frame", frame_index)
    if video.num_frames is not None and frame_index >= video.num_frames:
        raise PromptError(
            f"{where}: the video has {video.num_frames} frames, 0 to {video.num_frames - 1}."
        )
    given = {key for key in ("points", "box", "mask") if entry.get(key) is not None}
    if not given:
        raise PromptError(f"{where}: points, a box or a mask expected, none found.")
    if entry.get("labels") is not None and "points" not in given:
        raise PromptError(f"{where}: labels belong to points, and there are no points.")
    is_correction = entry.get("correction", False)
    if not isinstance(is_correction, bool):
        raise _fail(f"{where}: correction", "true or false", is_correction)
    if "mask" in given:
        if len(given) > 1:
            others = " and ".join(sorted(given - {"mask"}))
            raise PromptError(f"{where}: a mask stands alone, {others} found beside it.")
        mask, path = _mask(where, entry["mask"], folder, video)
        return FramePrompt(frame_index, mask=mask, mask_path=path, is_correction=is_correction)
    points, labels = None, None
    if "points" in given:
        points, labels = _points(where, entry["points"], entry.get("labels"), video)
    box = _box(where, entry["box"], video) if "box" in given else None
    return FramePrompt(frame_index, points, labels, box, is_correction=is_correction)


def _check_inside(where: str, x: float, y: float, video: _Video) -> None:
    if not (0 <= x <= video.width and 0 <= y <= video.height):
        raise PromptError(
            f"{where}: ({x:g}, {y:g}) lies outside the frame; "
            f"x from 0 to {video.width} and y from 0 to {video.height} expected."
        )


def _points(where: str, value: Any, labels: Any, video: _Video) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(value, list) or not value:
        raise _fail(f"{where}: points", "a list [[x, y], ...]", value)
    points = [
        _numbers(f"{where}: points[{place}]", point, 2, "two numbers [x, y]")
        for place, point in enumerate(value)
    ]
    for place, (x, y) in enumerate(points):
        _check_inside(f"{where}: points[{place}]", x, y, video)
    if labels is None:
        labels = [1] * len(points)
    if not isinstance(labels, list) or len(labels) != len(points):
        raise _fail(f"{where}: labels", f"a list of {len(points)}, one per point,", labels)
    for place, label in enumerate(labels):
        if isinstance(label, bool) or label not in (0, 1) or not isinstance(label, int):
            raise _fail(f"{where}: labels[{place}]", "1 (object) or 0 (not the object)", label)
    seen: dict[tuple[float, float], int] = {}
    for (x, y), label in zip(points, labels, strict=True):
        if seen.setdefault((x, y), label) != label:
            raise PromptError(f"{where}: point ({x:g}, {y:g}) is labelled both 1 and 0.")
    return np.array(points, np.float32), np.array(labels, np.int32)


def _box(where: str, value: Any, video: _Video) -> np.ndarray:
    x0, y0, x1, y1 = _numbers(f"{where}: box", value, 4, "four numbers [x0, y0, x1, y1]")
    _check_inside(f"{where}: box", x0, y0, video)
    _check_inside(f"{where}: box", x1, y1, video)
    if not (x0 < x1 and y0 < y1):
        raise _fail(f"{where}: box", "[x0, y0, x1, y1] with x0 < x1 and y0 < y1", value)
    return np.array([x0, y0, x1, y1], np.float32)


def _open_single_channel(where: str, path: Path, video: _Video, modes: set[str]) -> np.ndarray:
    if not path.is_file():
        raise PromptError(f"{where}: file {path} does not exist.")
    try:
        with Image.open(path) as image:
            if image.mode not in modes:
                raise PromptError(
                    f"{where}: {path} is not single-channel: its pixel mode is {image.mode}."
                )
            if image.size != (video.width, video.height):
                raise PromptError(
                    f"{where}: {path} has the wrong size: the video's "
                    f"{video.width}x{video.height} expected, "
                    f"{image.width}x{image.height} found."
                )
            return np.array(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise PromptError(f"{where}: {path} cannot be read as an image: {error}.") from None


def _mask(where: str, value: Any, folder: Path, video: _Video) -> tuple[np.ndarray, Path]:
    if not isinstance(value, str) or not value:
        raise _fail(f"{where}: mask", "the path of an image", value)
    path = folder / value
    return _open_single_channel(f"{where}: mask", path, video, _MASK_MODES) != 0, path


def _from_palette(path: Path, video: _Video) -> PromptFile:
    """Each value of the image is an object at frame 0."""
    values = _open_single_channel("prompts", path, video, {"L", "P"})
    ids = [int(v) for v in np.unique(values) if v not in (0, IGNORED_VALUE)]
    if not ids:
        raise PromptError(f"prompts {path} marks no object: no value from 1 to {MAX_OBJECT_ID}.")
    objects = (
        PromptedObject(object_id, None, (FramePrompt(0, mask=values == object_id),))
        for object_id in ids
    )
    return PromptFile(str(path), tuple(objects))
