"""TFDS builder for any folder in the DAVIS 2017 layout.

Path:    JPEGImages, Annotations -> [davis_folder] -> video frames with masks
Axes:    masks [H, W] uint8; values are objects of the video.
Units:   fps from meta.json; 0 where it is not given.
Errors:  ArchiveError that names the file.
Source:  layout of DAVIS 2017 (davischallenge.org).
Differs: names and groups of objects may be given in meta.json; frames may lack a mask.
"""

import dataclasses
from pathlib import Path
from typing import Any

from tfds_builders.kit import archive, json_files
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, Video
from tfds_builders.kit.builder import MaskBuilder, SurgicalConfig, instructions
from tfds_builders.kit.visible import by_numbers

IMAGES, MASKS = (".jpg", ".jpeg", ".png"), (".png",)
GROUPS = {"instrument": True, "tissue": False}


@dataclasses.dataclass(kw_only=True)
class DavisConfig(SurgicalConfig):
    """`categories` maps names to True for instruments; they come from meta.json (`configure`)."""

    categories: dict[str, bool] = dataclasses.field(default_factory=lambda: {"object": True})


class Builder(MaskBuilder):
    """Videos of your own in the DAVIS layout."""

    name = "davis_folder"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    KNOWN_FILES = ("meta.json", "ImageSets/*", "README*", "*.txt")
    BUILDER_CONFIGS = [DavisConfig(name="unnamed", description="Without what meta.json says.")]

    @classmethod
    def configure(cls, config: SurgicalConfig, root: Path) -> SurgicalConfig:
        """The config `own`: with the categories that this folder's meta.json names."""
        names = {"object": True}
        for video, entry in _meta(root).items():
            for number, thing in entry.get("objects", {}).items():
                group = thing.get("group", "instrument")
                where = f"{root / 'meta.json'}: {video}, object {number}"
                if group not in GROUPS:
                    raise ArchiveError(f"{where}: expected group instrument|tissue, found {group}.")
                name = thing.get("category", "object")
                if names.setdefault(name, GROUPS[group]) != GROUPS[group]:
                    raise ArchiveError(f"{where}: {name} is an instrument here, tissue there.")
        return dataclasses.replace(config, name="own", categories=dict(sorted(names.items())))

    @property
    def CATEGORIES(self) -> dict[str, bool]:  # noqa: N802  (a class constant elsewhere)
        config = self.builder_config
        return config.categories if isinstance(config, DavisConfig) else {"object": True}

    def find(self, root: Path) -> list[Video]:
        meta, splits = _meta(root), _splits(root)
        videos = []
        for folder in sorted(p for p in (root / "JPEGImages").glob("*") if p.is_dir()):
            name, masks = folder.name, _by_stem(root / "Annotations" / folder.name, MASKS)
            if splits and name not in splits:
                raise ArchiveError(f"{root / 'ImageSets'}: no list names the video {name}.")
            entry = meta.get(name, {})
            fps = float(entry.get("fps", 0.0))
            files = sorted(_by_stem(folder, IMAGES).values(), key=by_numbers)
            frames = tuple(
                _frame(root, path, masks.get(path.stem), t, fps) for t, path in enumerate(files)
            )
            videos.append(
                Video(
                    name,
                    splits.get(name, "train"),
                    frames,
                    procedure=entry.get("procedure", ""),
                    patient=entry.get("patient", name),
                    fps=fps,
                    note=entry.get("objects", {}),
                )
            )
        return videos

    def check(self, root, videos, report):
        annotated = sum(frame.is_annotated for video in videos for frame in video.frames)
        report.fact("frames with a mask", annotated)
        stems = {(v.video_id, Path(f.image).stem) for v in videos for f in v.frames}
        for path in sorted((root / "Annotations").glob("*/*")):
            if path.suffix.lower() not in MASKS:
                report.error("layout", path.relative_to(root), "masks as PNG", path.suffix)
            elif (path.parent.name, path.stem) not in stems:
                report.error("layout", path.relative_to(root), "a frame of this name", "none")
        if not annotated:
            report.error("missing", "Annotations", "masks of at least one frame", "none")

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        instances = archive.grey_labels(root / frame.labels[0])
        names = {
            value: video.note.get(str(value), {}).get("category", "object")
            for value in range(1, 255)
        }
        return FrameTruth(instances, names)


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """{name without suffix: file} of a folder that may be missing; two of one name are refused."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir() if folder.is_dir() else ()):
        if path.suffix.lower() in suffixes and found.setdefault(path.stem, path) != path:
            raise ArchiveError(f"{path}: {found[path.stem].name} has the same name.")
    return found


def _frame(root: Path, path: Path, mask: Path | None, position: int, fps: float) -> Frame:
    name = path.relative_to(root).as_posix()
    labels = () if mask is None else (mask.relative_to(root).as_posix(),)
    time_s = position / fps if fps else 0.0
    return Frame(name, path.stem, labels, is_annotated=bool(labels), time_s=time_s)


def _meta(root: Path) -> dict[str, Any]:
    """{video: its entry}; empty if there is no such file."""
    path = root / "meta.json"
    value = json_files.read(path) if path.exists() else {}
    for video, entry in value.items():
        where = f"{path}: {video}"
        if not (root / "JPEGImages" / video).is_dir():
            raise ArchiveError(f"{where}: JPEGImages holds no such video.")
        things = entry.get("objects", {}) if isinstance(entry, dict) else None
        if not isinstance(things, dict) or not all(isinstance(v, dict) for v in things.values()):
            raise ArchiveError(f"{where}: expected the form in the README, found {entry!r:.80}.")
        wrong = [key for key in things if not (key.isdecimal() and str(int(key)) == key)]
        if wrong:
            raise ArchiveError(f"{where}: expected values of masks as objects, found {wrong[0]!r}.")
        fps = entry.get("fps", 0)
        if not isinstance(fps, int | float) or isinstance(fps, bool) or not 0 <= fps < 10_000:
            raise ArchiveError(f"{where}: expected fps as a number, found {fps!r}.")
    return value


def _splits(root: Path) -> dict[str, str]:
    result: dict[str, str] = {}
    for path in sorted((root / "ImageSets").rglob("*.txt")):
        for line in path.read_text(encoding="utf-8-sig").split():
            if result.setdefault(line, path.stem) != path.stem:
                raise ArchiveError(f"{path}: {line} is in {result[line]}.txt, too.")
            if not (root / "JPEGImages" / line).is_dir():
                raise ArchiveError(f"{path}: names {line}, which JPEGImages does not hold.")
    return result
