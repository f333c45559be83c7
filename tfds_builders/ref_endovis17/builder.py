"""TFDS builder for Ref-EndoVis17: EndoVis 2017 with sentences about instruments.

Path:    see referring.
Axes:    instances [1024, 1280] uint8.
Units:   fps 2.
Errors:  ArchiveError and its kinds, with the file's name.
Source:  ReSurgSAM2, arXiv:2505.08581.
"""

from pathlib import Path

from tfds_builders.endovis17 import builder as endovis17
from tfds_builders.endovis17 import frames as endovis
from tfds_builders.kit.archive import Video
from tfds_builders.kit.builder import instructions
from tfds_builders.ref_endovis17.referring import ReferringBuilder


class Builder(ReferringBuilder):
    """Ref-EndoVis17: ten sequences, sentences about instruments, their doings and places."""

    name = "ref_endovis17"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    CATEGORIES = {**endovis17.CATEGORIES, "ultrasound probe": True}
    CITATION = "Liu et al., ReSurgSAM2, arXiv:2505.08581; Allan et al., arXiv:1902.06426"
    HOME = "Ref-Endovis17"
    PATIENTS = "endovis17_"
    PROCEDURE = "robotic surgery (porcine)"
    FPS = endovis.FPS
    LENGTHS = {"train": 7 * 300, "val": 3 * 300}
    SIZES = (endovis.FULL_SIZE, endovis.SIZE)
    HAS_PLACES = True
    CORRECTED = {"seq_9": {2: "bipolar forceps", 4: "prograsp forceps"}}

    def challenge_frames(self, root: Path) -> dict[int, dict[int, Path]]:
        return endovis.left_frames(root)

    def open_frames(self, root: Path, video: Video):
        for frame in video.frames:
            path = root / frame.image
            yield frame, endovis.cropped_png(path.read_bytes(), path), None
