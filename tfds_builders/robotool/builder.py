"""TFDS builder for RoboTool.

Path:    dvN_NNNNN.png, dvN_NNNNN_seg.png -> [robotool] -> single images with masks
Axes:    instances [H, W] uint8: 1 instrument, however many there are.
Units:   source_frame is the image's name: video and frame number.
Errors:  ArchiveError and its kinds, with the file's name.
Source:  arXiv:2102.09528; file names by the MONAI tutorial active_learning/tool_tracking_al.
Differs: split by video; others split the images at random.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from tfds_builders.kit import archive, sizes, splits
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, Video
from tfds_builders.kit.builder import MaskBuilder, instructions

_IMAGE = re.compile(r"(dv\d+)_(\d+)\.(png|jpg)$")
_MASK = re.compile(r"(dv\d+_\d+)_seg\.png$")
_VALUES = {0: 0, 1: 1, 255: 1}
LENGTHS = {  # images of each video
    **{f"dv{n}": 25 for n in (1, 2, 3, 4, 10, 13, 15, 16, 17)},
    **{"dv5": 23, "dv6": 23, "dv7": 26, "dv8": 28, "dv9": 24, "dv11": 26, "dv12": 27},
    **{"dv14": 47, "dv18": 11, "dv19": 24, "dv20": 30},
}


class Builder(MaskBuilder):
    """RoboTool: 514 images of 20 robotic operations, instruments against background."""

    name = "robotool"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    IS_VIDEO = False
    RECORDS_PER_SHARD = 256
    CATEGORIES = {"instrument": True}
    KNOWN_FILES = ("*.json", "*.txt", "*.md", "*.pdf", "*.tsv", "*.zip", "*__MACOSX/*")
    CITATION = "Garcia-Peraza-Herrera et al., arXiv:2102.09528"

    def find(self, root: Path) -> list[Video]:
        table = splits.official(self.FOLDER)
        videos = []
        for path in sorted(root.rglob("dv*")):
            place = _IMAGE.match(path.name)
            if not place or "__MACOSX" in path.parts:
                continue
            if place[1] not in table:
                raise ArchiveError(f"{path}: expected a video dv1 to dv20, found {place[1]}.")
            mask = path.with_name(f"{path.stem}_seg.png").relative_to(root).as_posix()
            frame = Frame(path.relative_to(root).as_posix(), path.stem, (mask,))
            videos.append(
                Video(
                    path.stem,
                    table[place[1]],
                    (frame,),
                    procedure="robotic surgery (mixed)",
                    patient=f"robotool_{place[1]}",
                )
            )
        return videos

    def check(self, root, videos, report):
        found = Counter(video.video_id.split("_")[0] for video in videos)
        report.compare("images", 514, len(videos), sure=True)
        for name, length in LENGTHS.items():
            report.compare(f"images of {name}", length, found[name], sure=False)
        names = {video.video_id for video in videos}
        for path in sorted(root.rglob("*_seg.png")):
            place = _MASK.match(path.name)
            if not place or place[1] not in names:
                report.error("layout", path.relative_to(root), "an image of this name", "none")
        images = [video.frames[0].image for video in videos]
        sizes.compare(report, root, "sizes of images", images, (), sure=False)

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        path = root / frame.labels[0]
        instances = archive.look_up(archive.grey_labels(path), _VALUES, path)
        return FrameTruth(instances, {1: "instrument"})
