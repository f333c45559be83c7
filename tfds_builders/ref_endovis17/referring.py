"""What the builders of Ref-EndoVis17 and Ref-EndoVis18 share.

Path:    Annotations, Meta, meta_expressions.json, EndoVis frames -> [referring] -> video frames
         with masks and sentences
Axes:    instances [H, W] uint8; a value is an object of the sequence.
Units:   fps 2.
Errors:  ArchiveError and its kinds, with the file's name.
Source:  ReSurgSAM2 (arXiv:2505.08581), datasets/ and training/dataset/.
Differs: objects that the authors' loader leaves out are background here, too. Names that the
         authors corrected after the first release are corrected here, whichever release it is.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tfds_builders.kit import archive, json_files, records, sizes, splits
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, LabelError, Video
from tfds_builders.kit.builder import MaskBuilder
from tfds_builders.ref_endovis17.sentences import sentence

ALIASES = {"suction": "suction instrument"}
FOLDERS = {"train": "train", "val": "valid"}  # split on disk: the archive's folder
IMAGES = (".png", ".jpg")


class ReferringBuilder(MaskBuilder, skip_registration=True):
    """`challenge_frames` gives the images; the class constants say what is in one year's set."""

    HOME: ClassVar[str]  # the annotations' folder
    PATIENTS: ClassVar[str]  # of the challenge whose frames these are
    PROCEDURE: ClassVar[str]
    FPS: ClassVar[float]
    LENGTHS: ClassVar[dict[str, int]]  # frames of a split
    SIZES: ClassVar[tuple[tuple[int, int], ...]]
    HAS_PLACES: ClassVar[bool]  # sentences say where an object is if its kind is there twice
    FIXED: ClassVar[dict[int, str]] = {}  # objects that mean the same in every sequence
    LEFT_OUT: ClassVar[tuple[int, ...]] = ()  # values that are no objects
    CORRECTED: ClassVar[dict[str, dict[int, str]]] = {}  # names of objects, by sequence

    KNOWN_FILES = (
        "*__MACOSX/*",
        "*VOS/*",
        "*Meta/*",
        "*meta_expressions.json",
        "*left_frames/*",
        "*right_frames/*",
        "*ground_truth/*",
        "*labels*",
        "*repairs/*",
        "*camera_calibration.txt",
        "*mapping*.json",
    )

    def challenge_frames(self, root: Path) -> dict[int, dict[int, Path]]:
        """{sequence: {frame: image}} of the challenge's archives."""
        raise NotImplementedError

    def extra_features(self):
        return {"expressions": records.expressions_feature()}

    def empty_extra(self, height: int, width: int) -> dict[str, Any]:
        return {"expressions": []}

    def find(self, root: Path) -> list[Video]:
        homes = [p for p in root.iterdir() if p.name.lower() == self.HOME.lower()]
        if not homes:
            raise ArchiveError(f"{root}: the folder {self.HOME} is missing.\n{self.layout()}")
        challenge = self.challenge_frames(root)
        return [
            self._video(root, homes[0], name, split, challenge.get(int(name.split("_")[1]), {}))
            for name, split in splits.official(self.FOLDER).items()
            if (homes[0] / FOLDERS[split] / "Annotations" / name).is_dir()
        ]

    def _video(self, root: Path, home: Path, name: str, split: str, challenge) -> Video:
        folder = home / FOLDERS[split]
        images = _numbered(folder / "JPEGImages" / name) or challenge
        if not images:
            raise ArchiveError(
                f"{root}: no frames of {name}: neither {folder.name}/JPEGImages/{name} nor the "
                "challenge's left_frames."
            )
        masks = _numbered(folder / "Annotations" / name)
        meta_path = folder / "Meta" / f"{name}.json"
        meta = json_files.read(meta_path, keys=("info", "frames"))
        said = _numbers_of(meta["frames"], meta_path)
        names = self._names(meta, meta_path, name)
        about = self._about_video(folder, name) if split == "val" else None
        frames = []
        for number, image in images.items():
            mask = masks.get(number, folder / "Annotations" / name / f"{number:05d}.png")
            is_annotated = number in masks or number in said
            sentences = about
            if sentences is None:
                sentences = self._about_frame(said.get(number, {}), names, str(meta_path))
            frames.append(
                Frame(
                    image.relative_to(root).as_posix(),
                    f"{number:05d}",
                    (mask.relative_to(root).as_posix(),) if is_annotated else (),
                    is_annotated,
                    time_s=number / self.FPS,
                    note=tuple(sentences),
                )
            )
        patient = f"{self.PATIENTS}{int(name.split('_')[1]):02d}"
        note = {
            number: self._category(text, meta_path)
            for number, text in names.items()
            if number not in self.LEFT_OUT
        }
        return Video(name, split, tuple(frames), self.PROCEDURE, patient, self.FPS, note)

    def _names(self, meta: dict, path: Path, name: str) -> dict[int, str]:
        """{object: its kind as sentences call it}."""
        if "category" not in meta["info"]:
            raise ArchiveError(f"{path}: expected the key info/category, found none.")
        found = _numbers_of(meta["info"]["category"], path)
        return {**self.FIXED, **found, **self.CORRECTED.get(name, {})}

    def _category(self, text: str, path: Path) -> str:
        name = text.lower().strip()
        name = ALIASES.get(name, name)
        if name not in self.CATEGORIES:
            raise LabelError(
                f"{path}: unknown label: category {text!r}; expected one of "
                f"{', '.join(self.CATEGORIES)}."
            )
        return name

    def _about_video(self, folder: Path, name: str) -> list[tuple[int, str]]:
        """(object, sentence) of a validation sequence: the same for all of its frames."""
        path = folder / "meta_expressions.json"
        videos = json_files.read(path, keys=("videos",))["videos"]
        if name not in videos:
            raise ArchiveError(f"{path}: {name} is missing among the videos.")
        where = f"{path}, {name}"
        return [
            (int(_value(entry, "obj_id", where)), str(_value(entry, "exp", where)))
            for entry in _value(videos[name], "expressions", where).values()
        ]

    def _about_frame(self, said: dict, names: dict[int, str], where: str) -> list[tuple[int, str]]:
        """(object, sentence) of a training frame."""
        result = []
        for key, state in said.items():
            number = int(key)
            if number in self.LEFT_OUT:
                continue
            if number not in names:
                raise LabelError(f"{where}: unknown label: object {number} has no category.")
            needs_place = self.HAS_PLACES and not _value(state, "unique", where)
            place = int(_value(state, "location", where)) if needs_place else None
            action = int(_value(state, "action", where))
            result.append((number, sentence(names[number], action, place, where)))
        return result

    def check(self, root, videos, report):
        table = splits.official(self.FOLDER)
        found = {video.video_id for video in videos}
        missing = ", ".join(name for name in table if name not in found)
        report.compare("sequences missing", "none", missing or "none", sure=True)
        for split, length in self.LENGTHS.items():
            frames = [f for v in videos if v.split == split for f in v.frames]
            report.compare(f"frames of {split}", length, len(frames), sure=True)
            annotated = sum(frame.is_annotated for frame in frames)
            report.compare(f"annotated frames of {split}", length, annotated, sure=False)
            texts = {text for frame in frames for _, text in frame.note}
            report.fact(f"different sentences of {split}", len(texts))
        first = [video.frames[0].image for video in videos]
        sizes.compare(report, root, "size of frames", first, self.SIZES, sure=True)
        for video in videos:
            self._check_video(root, video, report)

    def _check_video(self, root: Path, video: Video, report) -> None:
        home = next(p for p in root.iterdir() if p.name.lower() == self.HOME.lower())
        folder = home / FOLDERS[video.split]
        known = {frame.source for frame in video.frames}
        for number, mask in _numbered(folder / "Annotations" / video.video_id).items():
            if f"{number:05d}" not in known:
                report.error("layout", mask.relative_to(root), "a frame of this number", "none")
        for number in {n for frame in video.frames for n, _ in frame.note} - set(video.note):
            report.error("label", video.video_id, "a category of each object", f"none of {number}")
        path = folder / "Meta" / f"{video.video_id}.json"
        found = _numbers_of(json_files.read(path)["info"]["category"], path)
        for number, name in self.CORRECTED.get(video.video_id, {}).items():
            if found.get(number) != name:  # the first release; what is stored is right
                where = f"{path.relative_to(root)}, object {number}"
                report.note("label", where, f"{name} (stored)", found.get(number))

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        path = root / frame.labels[0]
        table = {value: value for value in (0, *video.note)}
        table.update({value: 0 for value in self.LEFT_OUT})
        instances = archive.look_up(archive.grey_labels(path), table, path)
        sentences = [{"instance_id": number, "text": text} for number, text in frame.note]
        return FrameTruth(instances.astype(np.uint8), video.note, {"expressions": sentences})


def _numbered(folder: Path) -> dict[int, Path]:
    """{number: path} of images called by their number, ascending."""
    paths: Iterable[Path] = folder.iterdir() if folder.is_dir() else ()
    found = {int(p.stem): p for p in paths if p.suffix in IMAGES and p.stem.isdigit()}
    return dict(sorted(found.items()))


def _value(entry: dict[str, Any], key: str, where: str) -> Any:
    if key not in entry:
        raise ArchiveError(f"{where}: expected the key {key}, found {', '.join(entry) or 'none'}.")
    return entry[key]


def _numbers_of(table: dict[str, Any], path: Path) -> dict[int, Any]:
    """JSON's string keys as the numbers they are."""
    if not all(str(key).isdigit() for key in table):
        raise ArchiveError(f"{path}: expected numbers as keys, found {sorted(table)[:3]}.")
    return {int(key): value for key, value in table.items()}
