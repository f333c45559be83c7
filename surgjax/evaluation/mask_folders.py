"""Folders of masks, paired frame by frame: what any producer wrote against the ground truth.

Path:    folders of PNGs -> [find_sequences, pair_sequences -> read] -> folder_protocols
Axes:    a label map is uint8 (H, W), a mask bool (H, W).
Units:   a frame is its place among the annotated frames of its sequence, from 0.
Errors:  MaskFolderError, a ValueError, naming the folder or file, for folders that do not match,
         missing predictions, and files that are no palette or grey PNG of ids.
Source:  DAVIS (a folder of palette PNGs a sequence) and SA-V (a folder of PNGs an object) layouts.
Differs: the SA-V layout's masks are whatever is above 0, so 255 is the object there; in a label map
         of the ground truth 255 is ignored.
"""

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from surgjax.inference.image_files import sort_frames
from surgjax.metrics.label_maps import IGNORED, labels_of


class MaskFolderError(ValueError):
    """Folders or files that cannot be scored."""


class Files(Mapping[str, Path]):
    """The files of one folder by stem, in order of frames.

    Paths are made when they are asked for: kept, they would be most of what an evaluation holds.
    """

    def __init__(self, folder: Path, paths: Sequence[Path]):
        self._folder = folder
        self._suffixes = {path.stem: sys.intern(path.suffix) for path in paths}

    def __getitem__(self, stem: str) -> Path:
        return self._folder / f"{stem}{self._suffixes[stem]}"

    def __iter__(self) -> Iterator[str]:
        return iter(self._suffixes)

    def __len__(self) -> int:
        return len(self._suffixes)


@dataclasses.dataclass(frozen=True)
class SequenceFiles:
    """The PNGs of one sequence: label maps, or the masks of each object."""

    name: str
    folder: Path
    frames: Mapping[str, Path]  # stem -> label map, in order of frames
    objects: Mapping[int, Mapping[str, Path]]  # object id -> stem -> mask; then `frames` is empty
    is_flat: bool = False  # the folder is the one that was named, not one below it

    @property
    def stems(self) -> list[str]:
        """Every frame with a file, in order."""
        if not self.objects:
            return list(self.frames)
        paths = {path.stem: path for files in self.objects.values() for path in files.values()}
        return [path.stem for path in sort_frames(list(paths.values()))]


@dataclasses.dataclass(frozen=True)
class Folder:
    """All sequences under a folder."""

    path: Path
    is_flat: bool  # the PNGs lie in the folder itself: one sequence
    sequences: Mapping[str, SequenceFiles]


@dataclasses.dataclass(frozen=True)
class Pair:
    """One sequence of the ground truth and what was predicted for it."""

    name: str
    target: SequenceFiles
    prediction: SequenceFiles | None  # None: nothing at all
    stems: tuple[str, ...]  # the annotated frames, in order
    missing: str = "error"  # or "empty": what an object without a folder of predictions is


def _entries(folder: Path) -> tuple[Files, list[Path]]:
    """PNGs by stem in order of frames, and subfolders by name; hidden entries do not count."""
    visible = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    files = [e for e in visible if e.suffix.lower() == ".png" and e.is_file()]
    folders = sorted(entry for entry in visible if entry.is_dir())
    try:
        return Files(folder, sort_frames(files)), folders
    except ValueError as error:
        raise MaskFolderError(str(error)) from None


def find_sequence(folder: Path, name: str) -> SequenceFiles | None:
    """The PNGs of one sequence; None if there are none, neither here nor in folders of objects."""
    frames, folders = _entries(folder)
    if frames:
        return SequenceFiles(name, folder, frames, {})
    objects: dict[int, Files] = {}
    owners: dict[int, Path] = {}
    for one in folders:
        if one.name.isdecimal() and (files := _entries(one)[0]):
            object_id = int(one.name)
            if object_id in owners:
                raise MaskFolderError(
                    f"{owners[object_id]} and {one} are both folders of object {object_id}; "
                    "expected one."
                )
            owners[object_id], objects[object_id] = one, files
    return SequenceFiles(name, folder, {}, dict(sorted(objects.items()))) if objects else None


def find_sequences(path: str | Path, flag: str) -> Folder:
    """A flat folder of PNGs, or a folder of sequences; `flag` names it in messages."""
    root = Path(path)
    if not root.is_dir():
        raise MaskFolderError(f"{flag} {root}: no such folder.")
    frames, folders = _entries(root)
    sequences = {f.name: find_sequence(f, f.name) for f in folders}
    found = {name: files for name, files in sequences.items() if files is not None}
    if frames and found:
        raise MaskFolderError(
            f"{flag} {root}: it holds PNG files ({next(iter(frames.values())).name}) and folders "
            f"of PNGs ({next(iter(found))}); expected one or the other."
        )
    if frames:
        name = root.resolve().name
        return Folder(root, True, {name: SequenceFiles(name, root, frames, {}, is_flat=True)})
    if not found:
        raise MaskFolderError(f"{flag} {root}: no PNG in it, nor in its folders.")
    return Folder(root, False, found)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _lacking(target: SequenceFiles, prediction: SequenceFiles) -> list[Path]:
    """The files that the prediction should have for the annotated frames, and has not."""
    if not prediction.objects:
        return [prediction.folder / f"{s}.png" for s in target.stems if s not in prediction.frames]
    lacking = []
    for object_id in target.objects or prediction.objects:
        files = prediction.objects.get(object_id, {})
        example = next(iter((files or target.objects[object_id]).values()))
        folder = prediction.folder / example.parent.name
        stems = target.objects.get(object_id) or target.stems
        lacking += [folder / f"{stem}.png" for stem in stems if stem not in files]
    return lacking


def pair_sequences(
    predictions: Folder, ground_truth: Folder, missing: str = "error"
) -> tuple[list[Pair], list[str]]:
    """Pairs every sequence of the ground truth, by name and stems; also notes for the reader.

    `missing="empty"` takes a frame or sequence without a prediction for one without objects.
    """
    if predictions.is_flat != ground_truth.is_flat:
        kinds = {True: "is one flat folder of PNGs", False: "holds folders of sequences"}
        raise MaskFolderError(
            f"--predictions {predictions.path} {kinds[predictions.is_flat]}, --ground_truth "
            f"{ground_truth.path} {kinds[ground_truth.is_flat]}; expected both alike."
        )
    found = predictions.sequences
    if ground_truth.is_flat:  # one sequence each, whatever the folders are called
        found = dict(zip(ground_truth.sequences, found.values(), strict=True))
    wanted = ground_truth.sequences
    if not set(found) & set(wanted):
        raise MaskFolderError(
            f"--predictions {predictions.path} holds {_few(sorted(found))}, --ground_truth "
            f"{ground_truth.path} holds {_few(sorted(wanted))}: no sequence in common."
        )
    notes = []
    if extra := sorted(set(found) - set(wanted)):
        notes.append(f"not scored, the ground truth lacks them: {_few(extra)}")
    lacking: list[Path] = []
    pairs = []
    for name, target in wanted.items():
        prediction = found.get(name)
        if prediction is None:
            lacking += [predictions.path / name / f"{stem}.png" for stem in target.stems]
        else:
            lacking += _lacking(target, prediction)
        pairs.append(Pair(name, target, prediction, tuple(target.stems), missing))
    if lacking and missing != "empty":
        raise MaskFolderError(
            f"{lacking[0]}: this prediction is missing ({len(lacking)} in all); files pair by "
            "stem. --missing=empty counts what is missing as empty."
        )
    if not any(_has_any(pair) for pair in pairs):
        raise MaskFolderError(
            f"--predictions {predictions.path}: no file has the stem of an annotated frame, such "
            f"as {pairs[0].stems[0]}.png of {pairs[0].target.folder}."
        )
    if lacking:
        notes.append(f"{len(lacking)} missing predictions counted as empty, {lacking[0]} first")
    return pairs, notes


def object_folder(side: SequenceFiles, object_id: int) -> Path:
    """Where the masks of an object without a folder would lie, named as the others are."""
    example = next(path for files in side.objects.values() for path in files.values())
    return side.folder / str(object_id).zfill(len(example.parent.name))


def _has_any(pair: Pair) -> bool:
    return pair.prediction is not None and bool(set(pair.prediction.stems) & set(pair.stems))


@dataclasses.dataclass(frozen=True)
class LabelFile:
    """A file that was read."""

    path: Path
    label_map: np.ndarray  # uint8 (H, W)
    colours: np.ndarray | None  # palette, uint8 (N, 3)


def read_label_file(path: Path) -> LabelFile:
    """A palette, grey or one-bit PNG; its values are the ids."""
    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L", "1"):
                raise MaskFolderError(
                    f"{path}: pixel mode {image.mode}; expected an 8-bit palette or grey PNG whose "
                    "values are object or class ids."
                )
            palette = image.getpalette() if image.mode == "P" else None
            label_map = np.array(image, np.uint8)
    except (UnidentifiedImageError, SyntaxError, Image.DecompressionBombError):
        raise MaskFolderError(f"{path}: it is not an image, or it is damaged.") from None
    except OSError as error:
        raise MaskFolderError(f"{path}: it cannot be read ({error}).") from None
    colours = None if palette is None else np.array(palette, np.uint8).reshape(-1, 3)
    return LabelFile(path, label_map, colours)


def check_sizes(first: LabelFile, second: LabelFile) -> None:
    """Refuses two maps of different sizes."""
    if first.label_map.shape != second.label_map.shape:
        sizes = ["x".join(map(str, file.label_map.shape[::-1])) for file in (first, second)]
        raise MaskFolderError(
            f"{first.path} is {sizes[0]} pixels (width x height), {second.path} is {sizes[1]}."
        )


def check_palettes(prediction: LabelFile, target: LabelFile) -> None:
    """Refuses a prediction whose colours say other ids than its values, and fit the target better.

    Some tools order the same colours differently and leave the values right. So colours alone
    contradict nothing; but where more pixels agree by colour than by value, values are not the ids.
    """
    if prediction.colours is None or target.colours is None:
        return
    theirs = [tuple(colour) for colour in target.colours.tolist()]
    ids = labels_of(target.label_map) - {0, IGNORED}
    owners = {theirs[i]: i for i in ids if i < len(theirs)}
    ours = [tuple(colour) for colour in prediction.colours.tolist()]
    by_colour = np.arange(256, dtype=np.uint8)
    for i in labels_of(prediction.label_map) & set(range(len(ours))):
        if theirs[i : i + 1] != [ours[i]]:
            by_colour[i] = owners.get(ours[i], i)
    if not (other := np.flatnonzero(by_colour != np.arange(256)).tolist()):
        return
    counted = (target.label_map != 0) & (target.label_map != IGNORED)
    agree, agree_by_colour = (
        np.count_nonzero((label_map == target.label_map) & counted)
        for label_map in (prediction.label_map, by_colour[prediction.label_map])
    )
    if agree_by_colour > agree:
        raise MaskFolderError(
            f"{prediction.path}: its palette gives value {other[0]} the colour that {target.path} "
            f"gives id {by_colour[other[0]]}, and by colour {agree_by_colour} pixels agree with "
            f"it, by value {agree}: the values are not the ids. Write the ids as values; if they "
            "are, save the file as a grey PNG, or with the palette of the ground truth."
        )


def check_binary(pair: Pair, labels: set[int]) -> None:
    """Refuses label maps of a sequence whose only value beside 0 is 255: all would be ignored."""
    if labels - {0} == {IGNORED}:
        raise MaskFolderError(
            f"{pair.target.folder}: its PNGs hold 0 and 255 only. 255 in the ground truth is "
            "ignored, so nothing could be scored; a binary mask needs 1 for its object."
        )


def read_pairs(pair: Pair, same_ids: bool = True) -> Iterator[tuple[LabelFile, LabelFile]]:
    """(prediction, target) of every annotated frame of label maps; a missing one is empty.

    `same_ids`: an id means the same on both sides, so palettes must not contradict each other.
    """
    for side in (pair.target, pair.prediction):
        if side is not None and side.objects:
            raise MaskFolderError(
                f"{side.folder}: a folder of masks for each object; this protocol needs label maps."
            )
    labels: set[int] = set()
    for stem in pair.stems:
        target = read_label_file(pair.target.frames[stem])
        labels |= labels_of(target.label_map)
        path = pair.prediction.frames.get(stem) if pair.prediction else None
        if path is None:
            nothing = np.zeros_like(target.label_map)
            yield LabelFile(Path(f"{pair.name}/{stem}.png (missing)"), nothing, None), target
            continue
        prediction = read_label_file(path)
        check_sizes(prediction, target)
        if same_ids:
            check_palettes(prediction, target)
        yield prediction, target
    check_binary(pair, labels)
