"""TFDS builder for Ref-EndoVis18: EndoVis 2018 with sentences about instruments and tissues.

Path:    see ref_endovis17.referring.
Axes:    instances [1024, 1280] uint8; 1 to 10 instruments, 11, 12, 17 tissues.
Units:   fps 2 as published.
Errors:  ArchiveError and its kinds, with the file's name.
Source:  ReSurgSAM2, arXiv:2505.08581.
"""

from pathlib import Path

from tfds_builders.endovis18 import builder as endovis18
from tfds_builders.endovis18 import frames as endovis
from tfds_builders.kit.builder import instructions
from tfds_builders.ref_endovis17.referring import ReferringBuilder

TISSUES = {11: "kidney parenchyma", 12: "covered kidney", 17: "small intestine"}


class Builder(ReferringBuilder):
    """Ref-EndoVis18: fifteen sequences, sentences about instruments and tissues."""

    name = "ref_endovis18"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    CATEGORIES = {**endovis18.TYPES, **{name: False for name in TISSUES.values()}}
    CITATION = "Liu et al., ReSurgSAM2, arXiv:2505.08581; Allan et al., arXiv:2001.11190"
    HOME = "Ref-Endovis18"
    PATIENTS = "endovis18_seq_"
    PROCEDURE = "robotic nephrectomy (porcine)"
    FPS = endovis.FPS
    LENGTHS = {"train": 11 * endovis.LENGTH, "val": 4 * endovis.LENGTH}
    SIZES = (endovis.SIZE,)
    HAS_PLACES = False
    FIXED = TISSUES
    LEFT_OUT = (13, 14, 15, 16, 18)  # thread, clamps, needle, suction, probe by their colours
    CORRECTED = {"seq_13": {2: "prograsp forceps", 3: "large needle driver"}}

    def challenge_frames(self, root: Path) -> dict[int, dict[int, Path]]:
        folders = {k: v for k, v in endovis.sequences(root).items() if k.startswith("seq_")}
        return {
            int(name.split("_")[1]): endovis.numbered(folder / "left_frames")
            for name, folder in folders.items()
        }
