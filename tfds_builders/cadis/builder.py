"""TFDS builder for CaDIS.

Path:    VideoNN/{Images,Labels} -> [cadis] -> video frames with masks
Axes:    masks [H, W] uint8: class + 1 (0 is not used), 255 ignore.
Units:   time_s from frame numbers at 30 frames a second, counted from 1.
Errors:  ArchiveError that names the file.
Source:  Grammatikopoulou et al., CaDIS, arXiv:1906.11586; counts from the table of frames in
         RViMLab/MICCAI2021_Cataract_semantic_segmentation.
Differs: 139 frames known to be mislabelled are left out, but for config `with_mislabelled`.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

from tfds_builders.cadis.classes import categories, stored_values
from tfds_builders.kit import archive, records, splits
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, Video
from tfds_builders.kit.builder import MaskBuilder, SurgicalConfig, instructions

FRAMES = (177, 170, 176, 173, 178, 183, 183, 184, 175, 205, 182, 217, 171, 230, 181, 173, 179, 185,
          214, 199, 219, 199, 178, 180, 159)  # fmt: skip  # of videos 1 to 25
MISLABELLED = 139
SOURCE_FPS = 30.0  # of the CATARACTS videos
FPS = 3.0  # of the stored frames where they follow closest: every tenth

_NAME = re.compile(r"Video(\d+)_frame(\d+)")


@dataclasses.dataclass(kw_only=True)
class CadisConfig(SurgicalConfig):
    """`experiment` 0 keeps the 36 classes; 1, 2 and 3 merge them as the authors' experiments do."""

    experiment: int = 0
    skip_mislabelled: bool = True


class Builder(MaskBuilder):
    """CaDIS: cataract surgery, every pixel labelled."""

    name = "cadis"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    LICENCE = "Non-commercial; to be checked in the archive."
    BUILDER_CONFIGS = [
        CadisConfig(name="full", description="36 classes."),
        CadisConfig(name="experiment1", experiment=1, description="8 classes."),
        CadisConfig(name="experiment2", experiment=2, description="17 classes, the rest ignored."),
        CadisConfig(name="experiment3", experiment=3, description="25 classes, the rest ignored."),
        CadisConfig(
            name="with_mislabelled",
            skip_mislabelled=False,
            description="36 classes, mislabelled frames too.",
        ),
    ]

    @property
    def _config(self) -> CadisConfig:
        config = self.builder_config
        if not isinstance(config, CadisConfig):
            raise TypeError(f"Expected a CadisConfig, found {type(config).__name__}.")
        return config

    @property
    def KNOWN_FILES(self) -> tuple[str, ...]:  # noqa: N802  (a class constant elsewhere)
        left_out = tuple(f"*/{name}.png" for name in sorted(mislabelled()))
        return ("*.csv", "*.txt", "*.json", "*.pdf", "README*", *left_out)

    @property
    def CATEGORIES(self) -> dict[str, bool]:  # noqa: N802
        return categories(self._config.experiment)

    def find(self, root: Path) -> list[Video]:
        split = splits.official(self.FOLDER)
        skipped = mislabelled() if self._config.skip_mislabelled else frozenset()
        videos = []
        for folder in sorted(path for path in root.glob("Video*") if path.is_dir()):
            if folder.name not in split:
                raise ArchiveError(f"{folder}: expected Video01 to Video25.")
            frames = tuple(
                _frame(root, path)
                for path in sorted((folder / "Images").glob("*.png"))
                if path.stem not in skipped
            )
            name = folder.name
            videos.append(Video(name, split[name], frames, "cataract surgery", name, FPS))
        return videos

    def check(self, root, videos, report):
        skipped = mislabelled()
        there = [
            path.relative_to(root)
            for video in videos
            for path in sorted((root / video.video_id / "Images").glob("*.png"))
        ]
        left_out = sum(path.stem in skipped for path in there)
        report.compare("videos", len(FRAMES), len(videos), sure=True)
        report.compare("frames in the archive", sum(FRAMES), len(there), sure=True)
        report.compare("of them mislabelled", MISLABELLED, left_out, sure=True)
        for video in videos:
            count = sum(path.parts[0] == video.video_id for path in there)
            expected = FRAMES[int(video.video_id[-2:]) - 1]
            if count != expected:
                report.compare(f"frames of {video.video_id}", expected, count, sure=True)
        sizes = archive.image_sizes(root, videos)
        report.compare("image sizes", [(960, 540)], sizes, sure=True, kind="size")
        names = {path.name for path in there}
        for path in sorted(root.glob("Video*/Labels/*.png")):
            if path.name not in names:
                report.error("layout", path.relative_to(root), "a frame of this name", "none")

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        path = root / frame.labels[0]
        table = stored_values(self._config.experiment, records.largest(self.ID_DTYPE))
        values = archive.look_up(archive.grey_labels(path), table, path)
        return FrameTruth(values, dict(enumerate(self.CATEGORIES, 1)))


def mislabelled() -> frozenset[str]:
    """Names of frames, without suffix, whose labels are known to be wrong."""
    text = Path(__file__).with_name("mislabelled.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def _frame(root: Path, path: Path) -> Frame:
    found = _NAME.fullmatch(path.stem)
    if not found or int(found[1]) != int(path.parents[1].name.removeprefix("Video")):
        raise ArchiveError(f"{path}: expected a name like Video1_frame000090 of the same video.")
    label = path.parents[1] / "Labels" / path.name
    return Frame(
        path.relative_to(root).as_posix(),
        path.stem,
        (label.relative_to(root).as_posix(),),
        time_s=(int(found[2]) - 1) / SOURCE_FPS,
    )
