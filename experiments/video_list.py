"""The list of `track_many`: which videos, with which prompts, under which names.

Path:    list.jsonl or list.csv -> [video_list] -> many_videos
Axes:    none.
Units:   lines count from 1.
Errors:  ValueError naming the file, the line, what was expected and what was found. Whether a video
         or its prompts can be read is not looked at here: that is one video's failure, not the
         list's.
Source:  ours.
Differs: nothing to compare with.
"""

import csv
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KEYS = ("video", "prompts", "output")


@dataclasses.dataclass(frozen=True)
class ListedVideo:
    """One line of the list."""

    name: str  # of its folder of results
    video: Path
    prompts: Path
    line: int


def read_list(path: str | Path) -> list[ListedVideo]:
    """JSON lines, or CSV with a header; relative paths are relative to the folder of the list.

    `output` may be missing: then the results are named after the video.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"--list {path} does not exist.") from None
    except UnicodeDecodeError:
        raise ValueError(f"--list {path} is no text: JSON lines or CSV expected.") from None
    rows = _json_lines if text.lstrip().startswith("{") else _csv
    videos: list[ListedVideo] = []
    for line, row in rows(path, text):
        item = _video(f"--list {path}, line {line}", row, path.parent, line)
        for other in videos:
            where = f"--list {path}, lines {other.line} and {line}"
            if item.name.lower() == other.name.lower():  # some file systems know no case
                raise ValueError(f"{where}: output {item.name!r} twice; each video needs its own.")
            if (item.video, item.prompts) == (other.video, other.prompts):
                raise ValueError(f"{where}: {item.video} with {item.prompts} twice.")
        videos.append(item)
    if not videos:
        raise ValueError(f"--list {path} names no video.")
    return videos


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    for line, part in enumerate(text.splitlines(), 1):
        if part.strip():
            try:
                yield line, json.loads(part)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"--list {path}, line {line} is not valid JSON: {error.msg}."
                ) from None


def _csv(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(text.splitlines(), restkey="", skipinitialspace=True)
    if text.strip() and not {"video", "prompts"} <= set(reader.fieldnames or ()):
        raise ValueError(
            f"--list {path}: JSON lines, or CSV whose first line names {', '.join(KEYS)} expected; "
            f"found {text.strip().splitlines()[0][:60]!r}."
        )
    for row in reader:
        if "" in row:
            raise ValueError(
                f"--list {path}, line {reader.line_num}: {len(reader.fieldnames or ())} fields "
                "expected, more found."
            )
        yield reader.line_num, {k: v for k, v in row.items() if v not in (None, "")}


def _video(where: str, row: Any, folder: Path, line: int) -> ListedVideo:
    if not isinstance(row, dict):
        raise ValueError(f"{where}: an object {{...}} expected, {json.dumps(row)[:60]} found.")
    unknown = sorted(set(row) - set(KEYS))
    if unknown:
        raise ValueError(f"{where}: unknown key {', '.join(unknown)}; known: {', '.join(KEYS)}.")
    for key in KEYS:
        if key not in row and key != "output":
            raise ValueError(f"{where}: {key} is missing.")
        if key in row and not (isinstance(row[key], str) and row[key].strip()):
            raise ValueError(f"{where}: {key}: a text expected, {json.dumps(row[key])} found.")
    video = folder / row["video"]
    name = row.get("output", video.stem)
    if "/" in name or "\\" in name or name.startswith(".") or name != name.strip():
        raise ValueError(
            f"{where}: output {name!r}: the name of a folder expected, without / and not hidden."
        )
    return ListedVideo(name, video, folder / row["prompts"], line)
