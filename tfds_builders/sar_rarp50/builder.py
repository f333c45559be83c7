"""TFDS builder for SAR-RARP50.

Path:    video_left.avi, segmentation, action_discrete.txt -> [sar_rarp50] -> video frames with
         masks and actions
Axes:    instances [1080, 1920] uint8; a value is the class id.
Units:   source_frame counts frames of the 60 fps video; fps of the stored frames is 1.
Errors:  ArchiveError and its kinds, with the file's name.
Source:  the challenge's toolkit (github.com/surgical-vision/SAR_RARP50-evaluation);
         arXiv:2401.00496.
Differs: frames are cut from the video where a mask is, and stored as JPEG.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders.kit import archive, records, splits, video_files
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, Video
from tfds_builders.kit.builder import MaskBuilder, instructions

VIDEO_FPS = 60.0
MASK_FPS = 1.0
SIZE = (1920, 1080)
ACTIONS = 8  # numbered from 0, which is none of the others
_FOLDER = re.compile(r"video_(\d+)(?:_(\d+))?$")


class Builder(MaskBuilder):
    """SAR-RARP50: clips of dorsal vascular complex suturing in robotic prostatectomy."""

    name = "sar_rarp50"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    KNOWN_FILES = ("*action_continues.txt", "*action_continuous.txt", "*rgb/*", "*.zip", "*.tsv")
    CITATION = "Psychogyios et al., SAR-RARP50, arXiv:2401.00496"
    CATEGORIES = {  # ids 1 to 9
        "tool clasper": True,
        "tool wrist": True,
        "tool shaft": True,
        "suturing needle": True,
        "thread": True,
        "suction tool": True,
        "needle holder": True,
        "clamps": True,
        "catheter": True,
    }

    def extra_features(self):
        doc = f"0 to {ACTIONS - 1} as in action_discrete.txt, or {records.UNKNOWN}"
        return {"action": tfds.features.Scalar(np.int32, doc=doc)}

    def find(self, root: Path) -> list[Video]:
        table = splits.official(self.FOLDER)
        folders: dict[str, Path] = {}
        for path in sorted(root.rglob("video_*")):
            if not path.is_dir() or not _FOLDER.match(path.name):
                continue
            if not (path / "video_left.avi").exists() and not (path / "segmentation").is_dir():
                continue
            if folders.setdefault(path.name, path) != path:
                raise ArchiveError(
                    f"{root}: {path.name} in two places: "
                    f"{folders[path.name].relative_to(root)} and {path.relative_to(root)}."
                )
        return [_video(root, folders[name], table) for name in sorted(folders, key=_order)]

    def check(self, root, videos, report):
        table = splits.official(self.FOLDER)
        found = {video.patient for video in videos}
        for split in ("train", "test"):
            expected = [f"sar_rarp50_{int(k):02d}" for k, v in table.items() if v == split]
            missing = ", ".join(patient for patient in expected if patient not in found)
            report.compare(f"{split} clips missing", "none", missing or "none", sure=True)
        for video in videos:
            for place in Path(video.frames[0].image).parts[:-2] if video.frames else ():
                if place in ("train1", "train2", "test") and not place.startswith(video.split):
                    report.error("layout", video.video_id, f"in {video.split}", f"in {place}")
            self._check_file(root, video, report)
        without = [v.video_id for v in videos if len(v.frames[0].labels) < 2]
        report.compare("clips without actions", "none", ", ".join(without) or "none", sure=False)
        unnamed = sum(
            frame.note == records.UNKNOWN
            for video in videos
            for frame in video.frames
            if len(frame.labels) > 1
        )
        report.compare("masks that action_discrete.txt leaves out", 0, unnamed, sure=False)

    def _check_file(self, root: Path, video: Video, report) -> None:
        name = video.frames[0].image
        if not (root / name).is_file():
            return  # told by the check of files
        try:
            fps, count, size = video_files.facts(root / name)
        except archive.CorruptImage as error:
            report.error("corrupt", name, "a video", error)
            return
        told = f"{size[0]}x{size[1]} at {fps:.2f} a second"
        expected = f"{SIZE[0]}x{SIZE[1]} at {VIDEO_FPS:.2f} a second"
        report.compare(f"frames of {name}", expected, told, sure=True, kind="size")
        numbers = [int(frame.source) for frame in video.frames]
        off = [number for number in numbers if number % int(VIDEO_FPS)]
        report.compare(f"masks of {name} off the second", 0, len(off), sure=False)
        if count and numbers[-1] >= count:
            report.error("corrupt", name, f"more than {numbers[-1]} frames", count)

    def open_frames(self, root: Path, video: Video):
        frames = {int(frame.source): frame for frame in video.frames}
        path = root / video.frames[0].image
        for number, data in video_files.jpegs(path, frames):
            yield frames[number], data, None

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        path = root / frame.labels[0]
        ids = {value: value for value in range(len(self.CATEGORIES) + 1)}
        classes = archive.look_up(archive.grey_labels(path), ids, path)
        return FrameTruth(classes, dict(enumerate(self.CATEGORIES, 1)), {"action": int(frame.note)})


def _order(name: str) -> tuple[int, int]:
    place = _FOLDER.match(name)
    return (int(place[1]), int(place[2] or 0)) if place else (0, 0)


def _video(root: Path, folder: Path, table: dict[str, str]) -> Video:
    number = f"{_order(folder.name)[0]:02d}"
    if number not in table:
        raise ArchiveError(f"{folder}: expected video_01 to video_50, found {folder.name}.")
    masks = sorted((folder / "segmentation").glob("*.png"))
    wrong = [path.name for path in masks if not path.stem.isdigit()]
    if wrong:
        raise ArchiveError(f"{folder / 'segmentation' / wrong[0]}: expected a frame's number.")
    actions_path = folder / "action_discrete.txt"
    actions = _actions(actions_path) if actions_path.exists() else {}
    video = (folder / "video_left.avi").relative_to(root).as_posix()
    frames = []
    for mask in sorted(masks, key=lambda path: int(path.stem)):
        labels = (mask.relative_to(root).as_posix(),)
        if actions:
            labels += (actions_path.relative_to(root).as_posix(),)
        index = int(mask.stem)
        action = actions.get(index, records.UNKNOWN)
        frames.append(Frame(video, mask.stem, labels, time_s=index / VIDEO_FPS, note=action))
    return Video(
        folder.name,
        table[number],
        tuple(frames),
        procedure="robotic radical prostatectomy",
        patient=f"sar_rarp50_{number}",
        fps=MASK_FPS,
    )


def _actions(path: Path) -> dict[int, int]:
    """{frame: action} from lines `frame,action`, ten a second."""
    result = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        words = [word.strip() for word in line.split(",")]
        if not line.strip():
            continue
        if len(words) != 2 or not all(word.isdigit() for word in words):
            raise ArchiveError(f"{path}:{number}: expected '<frame>,<action>', found {line!r}.")
        if int(words[1]) >= ACTIONS:
            raise archive.LabelError(
                f"{path}:{number}: unknown label: action {words[1]}; expected 0 to {ACTIONS - 1}."
            )
        result[int(words[0])] = int(words[1])
    return result
