"""Sequences of the EndoVis 2018 archives.

Path:    miccai_challenge_*/seq_N, test_data -> [frames] -> endovis18, ref_endovis18
Axes:    none.
Units:   pixels (width, height); frame numbers as in the file names.
Errors:  ArchiveError for a sequence that is there twice.
Source:  the challenge's data page: 149 frames per procedure at 2 Hz, still ones removed.
Differs: the test sequences, numbered from 1 again in the archive, are called test_seq_N.
"""

import re
from pathlib import Path

from tfds_builders.kit.archive import ArchiveError

SIZE = (1280, 1024)
FPS = 2.0
LENGTH = 149
TRAINING = (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16)  # there is no 8
_SEQUENCE = re.compile(r"seq_(\d+)$")
_FRAME = re.compile(r"frame(\d+)\.png$")


def sequences(root: Path) -> dict[str, Path]:
    """{seq_1: folder with left_frames}, by number; found wherever the archives were unpacked."""
    found: dict[tuple[bool, int], Path] = {}
    for frames in sorted(root.rglob("left_frames")):
        folder = frames.parent
        number = _SEQUENCE.match(folder.name)
        parts = folder.relative_to(root).parts
        if not number or "__MACOSX" in parts:  # copies that hold no images
            continue
        key = (any(part.startswith("test") for part in parts), int(number[1]))
        if found.setdefault(key, folder) != folder:
            raise ArchiveError(
                f"{root}: {folder.name} in two places: {found[key].relative_to(root)} and "
                f"{folder.relative_to(root)}."
            )
    return {f"{'test_' * test}seq_{number}": found[test, number] for test, number in sorted(found)}


def numbered(folder: Path) -> dict[int, Path]:
    """{number: path} of frameNNN.png in a folder, ascending."""
    found = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        frame = _FRAME.match(path.name)
        if frame:
            found[int(frame[1])] = path
    return dict(sorted(found.items()))
