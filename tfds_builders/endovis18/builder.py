"""TFDS builder for EndoVis 2018: the challenge's scene classes, or ISINet's instrument types.

Path:    left_frames, labels | annotations -> [endovis18] -> video frames with masks
Axes:    instances [1024, 1280] uint8; a value is the class id (background apart).
Units:   fps 2 as published; still frames were removed, so times are not exact.
Errors:  ArchiveError and its kinds, with the file's name.
Source:  challenge pages, arXiv:2001.11190; ISINet, arXiv:2007.05533, data/organize2018.py.
Differs: objects are classes: neither release links instances over time. Corrected masks of
         `repairs` replace those of release 1 without changing the archive.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

from tfds_builders.endovis18 import frames as endovis
from tfds_builders.kit import archive, json_files, sizes, splits
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, Video
from tfds_builders.kit.builder import MaskBuilder, SurgicalConfig, instructions

TYPES = {  # ids 1 to 7 of ISINet's release
    "bipolar forceps": True,
    "prograsp forceps": True,
    "large needle driver": True,
    "monopolar curved scissors": True,
    "ultrasound probe": True,
    "suction instrument": True,
    "clip applier": True,
}
SCENE = {  # ids 1 to 11 of the challenge; 0 is background tissue
    "instrument shaft": True,
    "instrument clasper": True,
    "instrument wrist": True,
    "kidney parenchyma": False,
    "covered kidney": False,
    "thread": True,
    "clamps": True,
    "suturing needle": True,
    "suction instrument": True,
    "small intestine": False,
    "ultrasound probe": True,
}
COLOURS = {
    (0, 0, 0): 0,
    (0, 255, 0): 1,
    (0, 255, 255): 2,
    (125, 255, 12): 3,
    (255, 55, 0): 4,
    (24, 55, 125): 5,
    (187, 155, 25): 6,
    (0, 255, 125): 7,
    (255, 255, 125): 8,
    (123, 15, 175): 9,
    (124, 155, 5): 10,
    (12, 255, 141): 11,
}
_ANNOTATION = re.compile(r"seq_?(\d+)_frame(\d+)\.png$")


@dataclasses.dataclass(kw_only=True)
class EndoVis18Config(SurgicalConfig):
    """`labels` is "types" or "scene"."""

    labels: str


class Builder(MaskBuilder):
    """EndoVis 2018: fifteen training sequences of porcine nephrectomy with a da Vinci Xi."""

    name = "endovis18"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    KNOWN_FILES = (
        "*labels*",
        "*left_frames/*",
        "*right_frames/*",
        "*camera_calibration.txt",
        "*__MACOSX/*",
        "*test_data/*",
        "*repairs/*",
        "*images/*",
        "*annotations/*",
    )
    CITATION = "Allan et al., 2018 Robotic Scene Segmentation Challenge, arXiv:2001.11190"
    BUILDER_CONFIGS = [
        EndoVis18Config(name="types", description="Seven instrument types.", labels="types"),
        EndoVis18Config(name="scene", description="Eleven classes of the scene.", labels="scene"),
    ]

    @property
    def _is_scene(self) -> bool:
        config = self.builder_config
        if not isinstance(config, EndoVis18Config):
            raise TypeError(f"Expected an EndoVis18Config, found {type(config).__name__}.")
        return config.labels == "scene"

    @property
    def CATEGORIES(self) -> dict[str, bool]:  # noqa: N802  (a class constant elsewhere)
        return SCENE if self._is_scene else TYPES

    def find(self, root: Path) -> list[Video]:
        table = splits.official(self.FOLDER)
        found = _scene_frames(root) if self._is_scene else _type_frames(root)
        videos = []
        for name, frames in found.items():
            if name not in table:
                raise ArchiveError(
                    f"{root}: {name} is no sequence of EndoVis 2018; expected one of "
                    f"{', '.join(table)}."
                )
            videos.append(
                Video(
                    name,
                    table[name],
                    tuple(frames),
                    procedure="robotic nephrectomy (porcine)",
                    patient=f"endovis18_{_padded(name)}",
                    fps=endovis.FPS,
                )
            )
        return videos

    def check(self, root, videos, report):
        table, is_scene = splits.official(self.FOLDER), self._is_scene
        lengths = {video.video_id: len(video.frames) for video in videos}
        missing = [k for k, v in table.items() if v != "test" and k not in lengths]
        report.compare("sequences missing", "none", ", ".join(missing) or "none", sure=True)
        for name, length in lengths.items():
            if table[name] != "test":
                # The challenge's length is published; that ISINet labels each frame is assumed.
                report.compare(f"frames of {name}", endovis.LENGTH, length, sure=is_scene)
            else:
                report.compare(f"frames of {name}", 250, length, sure=False)
        first = [video.frames[0].image for video in videos]
        sizes.compare(report, root, "size of frames", first, [endovis.SIZE], sure=True)
        if is_scene:
            report.compare("corrected masks", 7, len(_repairs(root)), sure=False)
        for path in sorted(root.rglob("*labels*.json")):
            if "__MACOSX" not in path.parts:
                _compare_table(report, path, path.relative_to(root), is_scene)

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        path = root / frame.labels[0]
        if self._is_scene:
            classes = archive.look_up_colours(archive.read_labels(path), COLOURS, path)
        else:
            ids = {value: value for value in range(len(TYPES) + 1)}
            classes = archive.look_up(archive.grey_labels(path), ids, path)
        return FrameTruth(classes, dict(enumerate(self.CATEGORIES, 1)))


def _scene_frames(root: Path) -> dict[str, list[Frame]]:
    """Left frames of all sequences with the challenge's masks; test frames may lack one."""
    repairs, found = _repairs(root), {}
    for name, folder in endovis.sequences(root).items():
        found[name] = []
        for number, path in endovis.numbered(folder / "left_frames").items():
            mask = folder / "labels" / path.name
            mask = repairs.get((name, number), mask)
            is_annotated = not name.startswith("test_") or mask.exists()
            labels = (mask.relative_to(root).as_posix(),) if is_annotated else ()
            found[name].append(_frame(root, path, number, labels))
    return found


def _type_frames(root: Path) -> dict[str, list[Frame]]:
    """ISINet's masks, with its own copy of the frame or else the challenge's."""
    masks: dict[int, dict[int, Path]] = {}
    for path in sorted(root.rglob("annotations/*.png")):
        place = _ANNOTATION.match(path.name)
        if place:
            here = masks.setdefault(int(place[1]), {})
            if here.setdefault(int(place[2]), path) != path:
                raise ArchiveError(f"{root}: {path.name} in two places.")
    folders = endovis.sequences(root)
    found = {}
    for number in sorted(masks):
        name = f"seq_{number}"
        challenge = endovis.numbered(folders[name] / "left_frames") if name in folders else {}
        found[name] = []
        for frame, mask in sorted(masks[number].items()):
            image = mask.parents[1] / "images" / mask.name
            if not image.exists():
                image = challenge.get(frame, image)
            labels = (mask.relative_to(root).as_posix(),)
            found[name].append(_frame(root, image, frame, labels))
    return found


def _frame(root: Path, image: Path, number: int, labels: tuple[str, ...]) -> Frame:
    return Frame(
        image.relative_to(root).as_posix(),
        f"frame{number:03d}",
        labels,
        is_annotated=bool(labels),
        time_s=number / endovis.FPS,
    )


def _repairs(root: Path) -> dict[tuple[str, int], Path]:
    """{(sequence, frame): mask} of the corrections that the challenge published later."""
    found = {}
    for path in sorted(root.rglob("repairs/seq_*.png")):
        place = _ANNOTATION.match(path.name)
        if place and "__MACOSX" not in path.parts:
            found[f"seq_{place[1]}", int(place[2])] = path
    return found


def _compare_table(report, path: Path, where: Path, is_scene: bool) -> None:
    """A table of class names in the archive against ours: colours of the scene, ids of types."""
    table = json_files.read(path, (dict, list))
    entries = table.get("classes", []) if isinstance(table, dict) else table
    for entry in entries:
        name = str(entry.get("name", "")).lower().replace("-", " ")
        if is_scene and "color" in entry:
            what = f"colour {entry['color'][:3]}"
            value = COLOURS.get(tuple(entry["color"][:3]))
            expected = "none" if value is None else ("background tissue", *SCENE)[value]
            found = name
        elif not is_scene and name in TYPES and "classid" in entry:
            what = f"id of {name}"
            expected, found = list(TYPES).index(name) + 1, entry["classid"]
        else:
            continue
        if found != expected:  # the masks decide: a value that is not ours stops the build
            report.note("label", f"{where}: {what}", expected, found)


def _padded(name: str) -> str:
    """test_seq_1 -> test_seq_01."""
    kind, _, number = name.rpartition("_")
    return f"{kind}_{int(number):02d}"
