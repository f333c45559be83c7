"""Videos of a folder in the layout of DAVIS or SA-V, or of plain folders named alike.

Path:    JPEGImages, Annotations, lists -> [find_videos] -> labelled_videos
Axes:    none.
Units:   fps in frames per second, 0 where neither option nor meta.json gives it.
Errors:  MaskFolderError naming folder, list or file: nothing there, a listed video without frames
         or masks, no mask for the first frame. ValueError naming flag or file for a frame rate that
         is negative or not finite.
Source:  DAVIS 2017 (JPEGImages/480p/VIDEO, ImageSets/2017/val.txt), SA-V (JPEGImages_24fps,
         Annotations_6fps/VIDEO/OBJECT, sav_val.txt), YouTube-VOS (JPEGImages/VIDEO).
Differs: SAM 2's tools/vos_inference.py takes folders and list apart; here one root is searched.
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surgjax.evaluation import mask_folders
from surgjax.evaluation.labelled_videos import LabelledVideo, check_rate
from surgjax.evaluation.mask_folders import MaskFolderError, SequenceFiles
from surgjax.inference.image_files import FOLDER_SUFFIXES, ImageFilesSource, sort_frames

_FRAMES, _MASKS = ("JPEGImages", "JPEGImages_24fps"), ("Annotations", "Annotations_6fps")
_RESOLUTIONS = ("480p", "Full-Resolution")
FLAG = "--davis_root"


@dataclasses.dataclass(frozen=True)
class DavisData:
    """Which videos of which folder."""

    folder: str = ""
    split: str = ""  # name or path of a list of videos; all that have masks without one
    videos: tuple[str, ...] = ()  # of these only
    fps: float = 0.0
    late_start: bool = False  # the first frame may lack a mask

    def identity(self) -> dict[str, Any]:
        """What the pixels depend on."""
        return {"kind": "davis", "folder": os.path.abspath(self.folder)}

    def find(self) -> list[LabelledVideo]:
        """The videos, in order of their names."""
        return find_videos(self)


def _subfolder(root: Path, names: Sequence[str], what: str) -> Path:
    """ROOT/JPEGImages, or its folder of one resolution."""
    found = next((root / name for name in names if (root / name).is_dir()), None)
    if found is None:
        raise MaskFolderError(f"{FLAG} {root}: no folder {' or '.join(names)} with {what}.")
    return next((found / name for name in _RESOLUTIONS if (found / name).is_dir()), found)


def _list_file(root: Path, split: str) -> Path:
    """SPLIT itself, ImageSets/SPLIT.txt, ImageSets/2017/SPLIT.txt or ROOT/SPLIT.txt."""
    if Path(split).is_file():
        return Path(split)
    places = (root / "ImageSets", root / "ImageSets" / "2017", root)
    tried = [place / f"{split}.txt" for place in places]
    tried += sorted((root / "ImageSets").glob(f"*/{split}.txt"))
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        raise MaskFolderError(f"--split {split}: no such list; looked for {tried[0]} first.")
    return found


def _names(options: DavisData, root: Path, frames: Path, masks: Path) -> list[str]:
    here = {path.name for path in masks.iterdir() if path.is_dir()}
    if not options.split:
        names, source = sorted(here), str(masks)
    else:
        path = _list_file(root, options.split)
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        names, source = [line.strip() for line in lines if line.strip()], str(path)
    for name in names:
        for folder, what in ((frames, "frames"), (masks, "masks")):
            if not (folder / name).is_dir():
                raise MaskFolderError(f"{source}: video {name!r} has no {what}, {folder / name}.")
    if unknown := sorted(set(options.videos) - set(names)):
        raise MaskFolderError(f"--videos {unknown[0]}: {source} has no such video.")
    names = [name for name in names if not options.videos or name in options.videos]
    if not names:
        raise MaskFolderError(f"{source}: no video.")
    if twice := {name for name in names if names.count(name) > 1}:
        raise MaskFolderError(f"{source}: video {sorted(twice)[0]!r} is listed twice.")
    return names


def _rates(root: Path) -> dict[str, float]:
    """Frames per second by video, as the meta.json of our davis_folder sets gives them."""
    path = root / "meta.json"
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
        rates = {
            name: float(entry["fps"])
            for name, entry in entries.items()
            if isinstance(entry, dict) and "fps" in entry
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise MaskFolderError(f"{path}: no frame rates can be read ({error}).") from None
    return {name: check_rate(fps, f"{path}: fps of {name!r}") for name, fps in rates.items()}


def _video(name: str, frames: Path, masks: SequenceFiles, options: DavisData, fps: float):
    paths = [p for p in (frames / name).iterdir() if p.suffix.lower() in FOLDER_SUFFIXES]
    paths = [path for path in paths if not path.name.startswith(".")]
    if not paths:
        raise MaskFolderError(f"{frames / name}: no JPEG or PNG frame.")
    paths = sort_frames(paths)
    stems = tuple(path.stem for path in paths)
    if not options.late_start and stems[0] not in masks.stems:
        raise MaskFolderError(
            f"{masks.folder}: the first frame of {name!r}, {stems[0]}, has no mask; the first with "
            f"one is {masks.stems[0]}. --late_start takes it so."
        )
    return LabelledVideo(
        name,
        stems,
        fps,
        lambda: ImageFilesSource(paths, str(frames / name)),
        lambda folder: masks,
    )


def find_videos(options: DavisData) -> list[LabelledVideo]:
    """Every video of the list; frames and masks are found, the first frame's size is compared."""
    root = Path(options.folder)
    check_rate(options.fps, "--fps")
    if not root.is_dir():
        raise MaskFolderError(f"{FLAG} {root}: no such folder.")
    frames = _subfolder(root, _FRAMES, "frames")
    masks = _subfolder(root, _MASKS, "masks")
    truth = mask_folders.find_sequences(masks, FLAG)
    if truth.is_flat:
        raise MaskFolderError(f"{masks}: PNG files; expected one folder for each video.")
    rates, videos = _rates(root), []
    for name in _names(options, root, frames, masks):
        if name not in truth.sequences:
            raise MaskFolderError(f"{masks / name}: no PNG, nor folders of objects with PNGs.")
        fps = options.fps or rates.get(name, 0.0)
        videos.append(_video(name, frames, truth.sequences[name], options, fps))
    return sorted(videos, key=lambda video: video.name)
