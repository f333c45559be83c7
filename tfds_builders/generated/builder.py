"""TFDS builder of the generated surgical world.

Path:    surgjax.synthetic -> [generated] -> video frames with masks and parts
Axes:    instances and parts [S, S] uint8.
Units:   seeds: train from 2,000,000, val from 4,000,000, test from HELD_OUT + 3,000,000.
Errors:  none of its own.
Source:  ours.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2

from surgjax.synthetic import PRESETS, generate_clip
from surgjax.synthetic.build import HELD_OUT
from surgjax.synthetic.names import CATEGORIES
from tfds_builders.kit import archive, records
from tfds_builders.kit.archive import Frame, FrameTruth, Video
from tfds_builders.kit.builder import MaskBuilder, SurgicalConfig, instructions

_FIRST_SEED = {"train": 2_000_000, "val": 4_000_000, "test": HELD_OUT + 3_000_000}
_FPS = 25.0


@dataclasses.dataclass(kw_only=True)
class GeneratedConfig(SurgicalConfig):
    """How many clips, how long, how large."""

    preset: str = "wide"
    videos: tuple[int, int, int]  # train, val, test
    num_frames: int
    size: int


class Builder(MaskBuilder):
    """Clips of the generated surgical world."""

    name = "generated"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = None
    NEEDS_ARCHIVE = False
    CATEGORIES = CATEGORIES
    LICENCE = "Apache-2.0"
    BUILDER_CONFIGS = [
        GeneratedConfig(name="small", videos=(24, 4, 4), num_frames=16, size=256),
        GeneratedConfig(name="medium", videos=(400, 40, 40), num_frames=32, size=256),
        GeneratedConfig(name="large", videos=(2000, 100, 100), num_frames=64, size=512),
    ]

    def layout(self) -> str:
        return instructions(self.FOLDER)

    def extra_features(self):
        return {"parts": records.parts_feature()}

    def find(self, root: Path) -> list[Video]:
        config = self._config
        videos = []
        for split, count in zip(_FIRST_SEED, config.videos, strict=True):
            for number in range(count):
                seed = _FIRST_SEED[split] + number
                frames = tuple(
                    Frame(f"{seed}/{t:05d}", f"{t:05d}", time_s=t / _FPS)
                    for t in range(config.num_frames)
                )
                name = f"{config.preset}_{seed}"
                videos.append(Video(name, split, frames, "generated", name, _FPS, note=seed))
        return videos

    @property
    def _config(self) -> GeneratedConfig:
        config = self.builder_config
        if not isinstance(config, GeneratedConfig):
            raise TypeError(f"Expected a GeneratedConfig, found {type(config).__name__}.")
        return config

    def open_frames(self, root: Path, video: Video) -> Iterator[tuple[Frame, bytes, Any]]:
        config = self._config
        clip = generate_clip(video.note, config.num_frames, config.size, PRESETS[config.preset])
        for t, frame in enumerate(video.frames):
            picture = clip.frames_u8[t, ..., ::-1]
            data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
            yield frame, data, (clip, t)

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        clip, t = opened
        parts = archive.shrink_labels(clip.part_maps[t], self.side)
        names = dict(zip(clip.object_ids, clip.object_names, strict=True))
        extra = {"parts": archive.encode_labels(parts)}
        return FrameTruth(clip.label_maps[t], names, extra)
