"""TFDS builder of the Dresden Surgical Anatomy Dataset (DSAD).

Path:    <organ>/<surgery>/{image,mask}NN.png, multilabel/ -> [dsad] -> single images
Axes:    masks [H, W] uint8, value k is organ k.
Units:   none; the images are no video.
Errors:  ArchiveError, LabelError with the file and what it should hold.
Source:  Carstens et al. 2023, doi:10.1038/s41597-022-01719-2; layout as torch-em's loader reads it.
Differs: `annotated_categories` tells which organs were looked for: outside `multilabel` a mask of
         one organ says nothing about the other ten, background included.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders.kit import archive, sizes, splits
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, LabelError, Video
from tfds_builders.kit.builder import MaskBuilder, instructions

SIZE = (1920, 1080)
ORGANS = {  # folder: images
    "abdominal_wall": 1207,
    "colon": 1374,
    "inferior_mesenteric_artery": 1057,
    "intestinal_veins": 1004,
    "liver": 1023,
    "pancreas": 1121,
    "small_intestine": 1199,
    "spleen": 1364,
    "stomach": 1430,
    "ureter": 1023,
    "vesicular_glands": 1393,
}
NAMES = tuple(folder.replace("_", " ") for folder in ORGANS)
MULTILABEL = "multilabel"
_IN_MULTILABEL = "abdominal wall, colon, liver, pancreas, small intestine, spleen, stomach".split(
    ", "
)


class Builder(MaskBuilder):
    """DSAD: organs in single images of robot-assisted rectal resection."""

    name = "dsad"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    KNOWN_FILES = ("*/anno_*/*", "*.csv", "*.txt", "*.md")
    CATEGORIES = dict.fromkeys(NAMES, False)
    IS_VIDEO = False
    RECORDS_PER_SHARD = 256
    LICENCE = "CC BY 4.0"
    CITATION = "Carstens et al., Scientific Data 10, 3 (2023), doi:10.1038/s41597-022-01719-2."

    def extra_features(self):
        labels = tfds.features.ClassLabel(names=list(NAMES))
        return {
            "annotated_categories": tfds.features.Sequence(labels),
            "subset": tfds.features.Text(doc="folder of the archive: an organ, or multilabel"),
        }

    def find(self, root: Path) -> list[Video]:
        table = splits.official(self.FOLDER)
        images = []
        for subset in (*ORGANS, MULTILABEL):
            for folder in sorted(p for p in (root / subset).glob("*") if p.is_dir()):
                if folder.name not in table:
                    raise ArchiveError(f"{folder}: splits/official.txt names no such surgery.")
                for path in sorted(folder.glob("image*.png")):
                    images.append(_image(root, path, subset, table[folder.name]))
        return images

    def check(self, root, videos, report):
        of_subset = {name: [v for v in videos if v.note == name] for name in (*ORGANS, MULTILABEL)}
        total = sum(len(images) for name, images in of_subset.items() if name in ORGANS)
        report.compare("images in the folders of organs", 13_195, total, sure=True)
        surgeries = len({video.patient for video in videos})
        report.compare("surgeries", 32, surgeries, sure=True)
        for name, expected in {**ORGANS, MULTILABEL: ORGANS["stomach"]}.items():
            report.compare(f"images in {name}", expected, len(of_subset[name]), sure=False)
        looked_for = sorted({organ for v in of_subset[MULTILABEL] for organ, _ in v.frames[0].note})
        report.compare("organs in multilabel", _IN_MULTILABEL, looked_for, sure=False, kind="label")
        for video in of_subset[MULTILABEL]:
            found = [organ for organ, _ in video.frames[0].note]
            if found != looked_for:
                report.note("missing", video.video_id, f"masks of {looked_for}", found)
        names = (frame.image for video in videos for frame in video.frames)
        sizes.compare(report, root, "size", names, [SIZE], sure=False)

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        instances: np.ndarray | None = None
        for organ, name in frame.note:
            path = root / name
            mask = archive.look_up(archive.grey_labels(path), {0: 0, 1: 1, 255: 1}, path) > 0
            if instances is None:
                instances = np.zeros(mask.shape, np.uint8)
            if mask.shape != instances.shape:
                raise LabelError(f"{path}: wrong size: {mask.shape[::-1]}, unlike its siblings.")
            instances[mask] = NAMES.index(organ) + 1
        assert instances is not None  # `find` takes no image without masks
        organs = [organ for organ, _ in frame.note]
        extra = {"annotated_categories": organs, "subset": video.note}
        return FrameTruth(instances, dict(enumerate(NAMES, 1)), extra)


def _image(root: Path, path: Path, subset: str, split: str) -> Video:
    """One image with its (organ, mask file) pairs, in the order of the organs."""
    number, surgery = path.stem.removeprefix("image"), path.parent.name
    if subset == MULTILABEL:
        pairs = []
        for mask in sorted(path.parent.glob(f"mask{number}_*.png")):
            organ = re.sub(r"^mask\d+_", "", mask.stem).replace("_", " ")
            if organ not in NAMES:
                raise ArchiveError(f"{mask}: unknown label: no organ is called {organ!r}.")
            pairs.append((organ, mask))
        if not pairs:
            raise ArchiveError(f"{path}: expected masks like mask{number}_liver.png, found none.")
        pairs.sort(key=lambda pair: NAMES.index(pair[0]))
    else:
        pairs = [(subset.replace("_", " "), path.with_name(f"mask{number}.png"))]
    named = tuple((organ, mask.relative_to(root).as_posix()) for organ, mask in pairs)
    frame = Frame(
        path.relative_to(root).as_posix(),
        f"{subset}/{surgery}/{path.stem}",
        tuple(name for _, name in named),
        note=named,
    )
    return Video(
        f"{subset}_{surgery}_{number}",
        split,
        (frame,),
        procedure="rectal resection",
        patient=f"dsad_{surgery}",
        note=subset,
    )
