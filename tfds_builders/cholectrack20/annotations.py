"""Annotation files of CholecTrack20.

Path:    VIDnn.json -> [annotations] -> builder
Axes:    a box is (x0, y0, x1, y1); tracks are (visibility, intracorporeal, intraoperative).
Units:   boxes in fractions of the image; frames by their number in a video of 25 a second, from 1.
Errors:  ArchiveError, LabelError with the file, the frame and what was expected.
Source:  Nwoye et al. 2025, arXiv:2312.07352; README and converter of CAMMA-public/cholectrack20.
Differs: phase ids are taken to be in the order of CholecT50; the files do not name them.
"""

import dataclasses
from pathlib import Path
from typing import Any

from tfds_builders.cholec80.names import PHASES, TOOLS
from tfds_builders.kit import json_files
from tfds_builders.kit.archive import ArchiveError, LabelError

PHASE_NAMES = tuple(PHASES.values())
TOOL_NAMES = tuple(TOOLS.values())
OPERATORS = (
    "null",
    "main surgeon left hand",
    "assistant surgeon right hand",
    "main surgeon right hand",
)
CONDITIONS = (
    "bleeding",
    "blurred",
    "smoke",
    "crowded",
    "occluded",
    "reflection",
    "stainedlens",
    "undercoverage",
)
TRACKS = ("visibility_track", "intracorporeal_track", "intraoperative_track")


@dataclasses.dataclass(frozen=True)
class Tool:
    """One tool in one frame."""

    xyxy: tuple[float, float, float, float]
    category: str
    tracks: tuple[int, int, int]
    operator: str
    phase: int  # -1: none
    conditions: tuple[bool, ...]


@dataclasses.dataclass(frozen=True)
class Annotation:
    """One operation: its tools by frame, ascending."""

    frames: dict[int, tuple[Tool, ...]]
    num_frames: int  # as the file claims


def read(path: Path) -> Annotation:
    """The whole file; any unknown name, id or key is an error."""
    value = json_files.read(path, keys=("annotations", "categories", "video"))
    tools = _names(path, value["categories"], ("tools",), TOOL_NAMES)
    operators = _names(path, value["categories"], ("operators", "operator"), OPERATORS)
    frames = {}
    for number in sorted(_numbers(path, value["annotations"])):
        where = f"{path}: frame {number}"
        entries = value["annotations"][str(number)]
        frames[number] = tuple(_tool(where, entry, tools, operators) for entry in entries)
    return Annotation(frames, int(value["video"].get("num_frames", len(frames))))


def phase_of(tools: tuple[Tool, ...], where: str) -> str | None:
    """The phase that the tools of a frame agree on; None where none has one."""
    found = sorted({tool.phase for tool in tools} - {-1})
    if len(found) > 1:
        raise LabelError(f"{where}: expected one phase per frame, found {found}.")
    if found and not 0 <= found[0] < len(PHASE_NAMES):
        raise LabelError(
            f"{where}: unknown label: phase {found[0]}; expected 0 to {len(PHASE_NAMES) - 1}."
        )
    return PHASE_NAMES[found[0]] if found else None


def _numbers(path: Path, annotations: Any) -> list[int]:
    try:
        return [int(key) for key in annotations]
    except (TypeError, ValueError) as error:
        raise ArchiveError(f"{path}: expected frame numbers in `annotations` ({error}).") from error


def _names(path: Path, categories: Any, keys: tuple[str, ...], known: tuple[str, ...]):
    """{id: our name} of a table of the file."""
    table = next((categories[key] for key in keys if key in categories), None)
    if table is None:
        raise ArchiveError(
            f"{path}: expected `categories` with {keys[0]}, found {categories!r:.80}."
        )
    if isinstance(table, dict):
        pairs = [(int(number), name) for number, name in table.items()]
    else:
        pairs = [(int(entry["id"]), entry["name"]) for entry in table]
    return {number: _known(path, str(name), known) for number, name in pairs}


def _known(path: Path, text: str, known: tuple[str, ...]) -> str:
    """Our spelling: `specimen-bag`, `Spec.bag`, `main-surgeon-left-hand (MSLH)`, `MSLH`, .."""
    plain = "".join(letter for letter in text.lower() if letter.isalpha())
    for name in known:
        letters = "".join(letter for letter in name if letter.isalpha())
        initials = "".join(word[0] for word in name.split())
        if plain in (letters, letters + initials) or (len(initials) > 2 and plain == initials):
            return name
    aliases = {"specbag": "specimen bag", "bag": "specimen bag", "nulloperator": "null"}
    if aliases.get(plain) in known:
        return aliases[plain]
    raise LabelError(f"{path}: unknown label: {text!r}; expected one of {', '.join(known)}.")


def _tool(where: str, entry: Any, tools: dict[int, str], operators: dict[int, str]) -> Tool:
    try:
        category, operator = int(entry["instrument"]), int(entry["operator"])
        x, y, width, height = (float(number) for number in entry["tool_bbox"])
        visible, inside, whole = (int(entry[key]) for key in TRACKS)
        conditions = tuple(bool(entry[key]) for key in CONDITIONS)
        phase = int(entry.get("phase", -1))
    except (KeyError, TypeError, ValueError) as error:
        raise ArchiveError(f"{where}: not a tool as the set has them ({error!r}).") from error
    for number, table, what in ((category, tools, "instrument"), (operator, operators, "operator")):
        if number not in table:
            raise LabelError(
                f"{where}: unknown label: {what} {number}; expected one of {sorted(table)}."
            )
    return Tool(
        (x, y, x + width, y + height),
        tools[category],
        (visible, inside, whole),
        operators[operator],
        phase,
        conditions,
    )
