"""What requests say, checked: keys, types and sizes, before the session sees them.

Path:    JSON of a page -> [requests] -> server
Axes:    points are x, y.
Units:   pixels of the video; frames count from 0.
Errors:  BadRequest, naming the key, what was expected and what was found.
Source:  ours.
Differs: nothing to compare with. What the numbers mean, whether a frame or an object is there, is
         for the session to say.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

MOST_BYTES = 256 * 1024  # of a body; a long stroke takes 50 KiB
MOST_STROKE_POINTS = 10_000
_LARGEST = 2**31 - 1
_EXPORT_NAME = re.compile(r"\w[\w .-]{0,79}")
FORMATS = ("masks", "coco", "overlay")
DIRECTIONS = ("forward", "back", "both")

Check = Callable[[str, Any], Any]


class BadRequest(ValueError):
    """A body that is not what was agreed on."""


def read_json(body: bytes) -> dict[str, Any]:
    """The object that a body holds; an empty body is an empty object."""
    if not body.strip():
        return {}
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise _wrong("the body", "an object {...}", value)
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _wrong(where: str, expected: str, found: Any) -> BadRequest:
    shown = json.dumps(found)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return BadRequest(f"{where}: {expected} expected, {shown} found.")


def take(
    where: str, body: Mapping[str, Any], checks: Mapping[str, Check], **defaults: Any
) -> list[Any]:
    """Values in the order of `checks`; only those in `defaults` may be left out."""
    unknown = sorted(set(body) - set(checks))
    if unknown:
        known = ", ".join(checks) or "none"
        raise BadRequest(f"{where}: unknown key {', '.join(unknown)[:60]}; the keys are {known}.")
    missing = [key for key in checks if key not in body and key not in defaults]
    if missing:
        raise BadRequest(f"{where}: key {', '.join(missing)} is missing.")
    return [
        check(f"{where}, {key}", body[key]) if key in body else defaults[key]
        for key, check in checks.items()
    ]


def _or_null(check: Check) -> Check:
    return lambda where, value: None if value is None else check(where, value)


def _integer(where: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LARGEST:
        raise _wrong(where, "an integer", value)
    return value


def _count(where: str, value: Any) -> int:
    if _integer(where, value) < 1:
        raise _wrong(where, "1 or more", value)
    return value


def _index(where: str, value: Any) -> int:
    if _integer(where, value) < 0:
        raise _wrong(where, "a frame, counted from 0,", value)
    return value


def _object_id(where: str, value: Any) -> int:
    if not 1 <= _integer(where, value) <= 254:
        raise _wrong(where, "an object id from 1 to 254", value)
    return value


def _label(where: str, value: Any) -> int:
    if _integer(where, value) not in (0, 1):
        raise _wrong(where, "1 (on the object) or 0 (off it)", value)
    return value


def _flag(where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(where, "true or false", value)
    return value


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 100:
        raise _wrong(where, "a text of at most 100 characters", value)
    return value


def _radius(where: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not 0 < value <= _LARGEST:
        raise _wrong(where, "a number above 0", value)
    return value


def _integers(length: int, expected: str) -> Check:
    def check(where: str, value: Any) -> list[int]:
        if not isinstance(value, list) or len(value) != length:
            raise _wrong(where, expected, value)
        return [_integer(where, item) for item in value]

    return check


_point = _integers(2, "two integers [x, y]")
_box = _integers(4, "four integers [x0, y0, x1, y1]")


def _stroke(where: str, value: Any) -> list[list[int]]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_STROKE_POINTS:
        raise _wrong(where, f"a list of 1 to {MOST_STROKE_POINTS} points", value)
    return [_point(where, point) for point in value]


def _one_of(*choices: str) -> Check:
    def check(where: str, value: Any) -> str:
        if value not in choices:
            raise _wrong(where, f"one of {', '.join(choices)}", value)
        return value

    return check


def _formats(where: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not value or any(item not in FORMATS for item in value):
        raise _wrong(where, f"a list of {', '.join(FORMATS)}", value)
    return list(dict.fromkeys(value))


def _export_name(where: str, value: Any) -> str:
    """It becomes the name of a folder."""
    if not isinstance(value, str) or not _EXPORT_NAME.fullmatch(value):
        raise _wrong(where, "a name of letters, digits, '_', '-', '.' and spaces", value)
    return value


# The session's methods that POST /api/edit reaches, with their arguments in order.
_EDITS: dict[str, dict[str, Check]] = {
    "add_object": {"name": _or_null(_text)},
    "rename_object": {"id": _object_id, "name": _or_null(_text)},
    "remove_object": {"id": _object_id},
    "add_point": {
        "id": _or_null(_object_id),
        "frame": _index,
        "x": _integer,
        "y": _integer,
        "label": _label,
    },
    "set_box": {"id": _or_null(_object_id), "frame": _index, "box": _box},
    "paint": {
        "id": _or_null(_object_id),
        "frame": _index,
        "stroke": _stroke,
        "radius": _radius,
        "erase": _flag,
    },
    "clear_prompts": {"id": _object_id, "frame": _index},
    "undo": {},
    "redo": {},
}


def edit(body: dict[str, Any]) -> tuple[str, list[Any]]:
    """The session's method and its arguments."""
    op = body.get("op")
    if not isinstance(op, str) or op not in _EDITS:
        raise _wrong("op", f"one of {', '.join(_EDITS)}", op)
    rest = {key: value for key, value in body.items() if key != "op"}
    defaults = {"name": None} if op == "add_object" else {}
    return op, take(op, rest, _EDITS[op], **defaults)


def look(body: dict[str, Any]) -> int:
    """The frame."""
    return take("look", body, {"frame": _index})[0]


def track(body: dict[str, Any]) -> tuple[str, int | None]:
    """Direction, and the most frames."""
    checks = {"direction": _one_of(*DIRECTIONS), "frames": _or_null(_count)}
    direction, frames = take("track", body, checks, frames=None)
    return direction, frames


def export(body: dict[str, Any]) -> tuple[list[str], str, bool]:
    """Formats, name of the folder, whether masks may be out of date."""
    checks = {"formats": _formats, "name": _export_name, "allow_stale": _flag}
    formats, name, stale = take("export", body, checks, name="export", allow_stale=False)
    return formats, name, stale


def jpeg_quality(text: str) -> int:
    """Of a frame, from the query of its address."""
    if not re.fullmatch("[0-9]{2,3}", text) or not 10 <= int(text) <= 100:
        raise _wrong("q", "a JPEG quality from 10 to 100", text)
    return int(text)
