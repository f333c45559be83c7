"""What a prepared data set holds, without opening a frame: videos, objects, where they are seen.

Path:    tfds_builders -> clips.json -> [index] -> samplers, clips
Axes:    record `first + t` of a split is frame t of its video; runs are half-open pairs
         (start, stop) of frame positions t, ascending and apart.
Units:   fps of the stored frames (0: not a video); height and width in pixels.
Errors:  ValueError that names the file and key if the file is not such an index.
Differs: TFDS knows records and splits only; which object is seen where would otherwise take a pass
         over every mask.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence

FILE_NAME = "clips.json"
FORMAT = 1

Run = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class ObjectEntry:
    """One object of one video: its value in the masks, what it is, where it can be seen."""

    id: int  # value in the instance maps, 1 and up
    category: str
    is_instrument: bool  # else tissue
    visible: tuple[Run, ...]  # annotated frames that show at least one pixel of it


@dataclasses.dataclass(frozen=True)
class VideoEntry:
    """One video (or one single image: length 1, fps 0) and its place among a split's records."""

    video_id: str
    first: int  # record of frame 0
    length: int
    height: int
    width: int
    fps: float
    procedure: str
    source: str  # name of the data set the frames come from
    patient: str  # what may not be divided between splits; the video itself where unknown
    annotated: tuple[Run, ...]
    objects: tuple[ObjectEntry, ...]

    @property
    def num_masks(self) -> int:
        """Annotated object appearances: what mixtures weigh by."""
        return sum(stop - start for item in self.objects for start, stop in item.visible)


@dataclasses.dataclass(frozen=True)
class SetIndex:
    """The index of one prepared data set.

    `splits` are the splits on disk. `named` are further splits by video id across them (folds,
    or splits that keep patients of sibling data sets apart).
    """

    name: str
    splits: dict[str, tuple[VideoEntry, ...]]
    named: dict[str, tuple[str, ...]]

    def videos(self, split: str) -> list[tuple[str, VideoEntry]]:
        """(split on disk, entry) of every video of a split of either kind."""
        if split in self.splits:
            return [(split, video) for video in self.splits[split]]
        if split not in self.named:
            known = sorted(self.splits) + sorted(self.named)
            raise ValueError(f"{self.name} has no split {split!r}; it has {', '.join(known)}.")
        wanted = set(self.named[split])
        return [
            (place, video)
            for place, videos in self.splits.items()
            for video in videos
            if video.video_id in wanted
        ]


def runs_of(positions: Iterable[int]) -> tuple[Run, ...]:
    """Ascending positions as half-open runs: 0 1 2 5 -> (0, 3) (5, 6)."""
    runs: list[list[int]] = []
    for position in positions:
        if runs and runs[-1][1] == position:
            runs[-1][1] += 1
        else:
            runs.append([position, position + 1])
    return tuple((start, stop) for start, stop in runs)


def positions_of(runs: Sequence[Run]) -> list[int]:
    """The inverse of `runs_of`."""
    return [position for start, stop in runs for position in range(start, stop)]


def to_json(index: SetIndex) -> str:
    return json.dumps({"format": FORMAT, **dataclasses.asdict(index)}, separators=(",", ":"))


def _runs(value) -> tuple[Run, ...]:
    return tuple((int(start), int(stop)) for start, stop in value)


def video_from_dict(value: dict) -> VideoEntry:
    """The inverse of `dataclasses.asdict` on a VideoEntry."""
    objects = tuple(
        ObjectEntry(**{**item, "visible": _runs(item["visible"])}) for item in value["objects"]
    )
    return VideoEntry(**{**value, "annotated": _runs(value["annotated"]), "objects": objects})


def read(folder: str) -> SetIndex:
    """Reads the index of a prepared data set from its version folder."""
    path = os.path.join(folder, FILE_NAME)
    if not os.path.exists(path):
        raise ValueError(
            f"{path} does not exist: expected a data set made by experiments.prepare_data."
        )
    with open(path, encoding="utf-8") as stream:
        try:
            value = json.load(stream)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        found = value.get("format") if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"{path}: expected format {FORMAT}, found {found}: build the set again.")
    try:
        splits = {
            name: tuple(video_from_dict(video) for video in videos)
            for name, videos in value["splits"].items()
        }
        named = {name: tuple(ids) for name, ids in value["named"].items()}
        return SetIndex(value["name"], splits, named)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not an index of format {FORMAT}: {error!r}") from error
