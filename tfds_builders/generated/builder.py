"""TFDS builder of the generated surgical world.

Path:    surgjax.synthetic -> [generated] -> video frames with masks and the rest of the truth
Axes:    maps [S, S]; N objects seen in the frame, in the order of `instance_ids`.
Units:   depth in 1/100 mm, flow in 1/64 px (x, y) to the next frame, FLOW_UNKNOWN where the same
         surface is not in sight at both ends; boxes as surgjax.prompts.clicks has them.
         Seeds: train from 2,000,000, val from 4,000,000, test from HELD_OUT + 3,000,000.
Errors:  ValueError for `side`: the size of generated frames is the config's.
Source:  ours.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds

from surgjax.synthetic import PRESETS, Clip, generate_clip
from surgjax.synthetic.annotators import RATERS, annotate
from surgjax.synthetic.build import HELD_OUT
from surgjax.synthetic.names import CATEGORIES
from surgjax.synthetic.sites import site_config
from tfds_builders.kit import archive, records
from tfds_builders.kit.archive import Frame, FrameTruth, Video
from tfds_builders.kit.builder import MaskBuilder, SurgicalConfig, instructions

FLOW_UNKNOWN = np.iinfo(np.int16).min
FLOW_UNIT, DEPTH_UNIT = 1 / 64, 1 / 100
_FIRST_SEED = {"train": 2_000_000, "val": 4_000_000, "test": HELD_OUT + 3_000_000}
_F = tfds.features


@dataclasses.dataclass(kw_only=True)
class GeneratedConfig(SurgicalConfig):
    """How many clips, how long, how large, and how much of the truth."""

    preset: str = "surgery"
    videos: tuple[int, int, int]  # train, val, test
    num_frames: int
    test_frames: int = 0  # of a test video; 0: as many as of the others
    fps: float = 25.0
    size: int
    sites: int = 0  # videos take turns at so many hospitals; 0: none has a style of its own
    all_truth: bool = False  # depth, flow and the raters' masks as well


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
        GeneratedConfig(name="sites", videos=(240, 24, 24), num_frames=16, size=256, sites=6),
        GeneratedConfig(name="truth", videos=(24, 4, 4), num_frames=16, size=256, all_truth=True),
        GeneratedConfig(
            name="long",
            preset="long",
            videos=(120, 6, 24),
            num_frames=300,
            test_frames=700,
            fps=10.0,
            size=256,
        ),
        GeneratedConfig(name="tiny", videos=(2, 1, 1), num_frames=12, size=64),
    ]

    def layout(self) -> str:
        return instructions(self.FOLDER)

    @property
    def _config(self) -> GeneratedConfig:
        config = self.builder_config
        if not isinstance(config, GeneratedConfig):
            raise TypeError(f"Expected a GeneratedConfig, found {type(config).__name__}.")
        if config.side is not None:
            raise ValueError("--side: generated frames have the size of their config.")
        return config

    def extra_features(self):
        extra = dict(
            parts=records.parts_feature(),
            boxes_xyxy=_F.Tensor(shape=(None, 4), dtype=np.float32),
            track_ids=_F.Tensor(shape=(None, 3), dtype=np.int32),
            phase=_F.Scalar(np.int32),
            is_cut=np.bool_,
            site=_F.Scalar(np.int32),
            expressions=records.expressions_feature(),
        )
        if self._config.all_truth:
            grey = _F.Image(shape=(None, None, 1), dtype=np.uint8, encoding_format="png")
            extra |= {f"instances_{rater}": grey for rater in RATERS}
            extra["depth"] = _F.Image(shape=(None, None, 1), dtype=np.uint16, encoding_format="png")
            extra["flow"] = _F.Tensor(shape=(None, None, 2), dtype=np.int16, encoding="zlib")
        return extra

    def find(self, root: Path) -> list[Video]:
        config = self._config
        videos = []
        for split, count in zip(_FIRST_SEED, config.videos, strict=True):
            length = config.num_frames
            if split == "test" and config.test_frames:
                length = config.test_frames
            for number in range(count):
                seed = _FIRST_SEED[split] + number
                frames = tuple(
                    Frame(f"{seed}/{t:05d}", f"{t:05d}", time_s=t / config.fps)
                    for t in range(length)
                )
                site = number % config.sites if config.sites else -1
                name = f"{config.preset}_{seed}"
                patient = name if site < 0 else f"site{site}_{seed}"
                note = (seed, site)
                videos.append(Video(name, split, frames, "generated", patient, config.fps, note))
        return videos

    def named_splits(self, videos: list[Video]) -> dict[str, dict[str, str]]:
        """`train_site0`, `test_site0`, ...: one hospital's videos."""
        tables: dict[str, dict[str, str]] = {}
        for video in videos:
            if video.note[1] >= 0:
                tables.setdefault(f"site{video.note[1]}", {})[video.video_id] = video.split
        return tables

    def open_frames(self, root: Path, video: Video) -> Iterator[tuple[Frame, bytes, Any]]:
        config, (seed, site) = self._config, video.note
        scene = PRESETS[config.preset]
        scene = scene if site < 0 else site_config(scene, site)
        truth = ("depth", "flow") if config.all_truth else ()
        clip = generate_clip(seed, len(video.frames), config.size, scene, truth)
        for t, frame in enumerate(video.frames):
            picture = clip.frames_u8[t, ..., ::-1]
            data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
            yield frame, data, (clip, t)

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        clip, t = opened
        names = dict(zip(clip.object_ids, clip.object_names, strict=True))
        seen = clip.visible[t]
        extra = dict(
            parts=archive.encode_labels(clip.part_maps[t]),
            boxes_xyxy=clip.boxes_xyxy[t][seen],
            track_ids=clip.track_ids[t][seen],
            phase=int(clip.phase_ids[t]),
            is_cut=bool(clip.cuts[t]),
            site=video.note[1],
            expressions=[
                dict(instance_id=said.object_id, text=said.text)
                for said in clip.expressions
                if said.first_frame <= t <= said.last_frame
            ],
        )
        if self._config.all_truth:
            extra |= _all_truth(clip, t)
        return FrameTruth(clip.label_maps[t], names, extra)


def _all_truth(clip: Clip, t: int) -> dict[str, Any]:
    labels = clip.label_maps[t]
    extra: dict[str, Any] = {
        f"instances_{rater}": archive.encode_labels(annotate(labels, rater, clip.seed, t))
        for rater in RATERS
    }
    assert clip.depth_mm is not None and clip.flow_px is not None and clip.flow_valid is not None
    depth = np.round(clip.depth_mm[t] / DEPTH_UNIT)
    extra["depth"] = archive.encode_labels(depth.astype(np.uint16))
    flow = np.full((*labels.shape, 2), FLOW_UNKNOWN, np.int16)
    if t < len(clip.flow_px):
        valid = clip.flow_valid[t]
        flow[valid] = np.round(clip.flow_px[t][valid] / FLOW_UNIT).astype(np.int16)
    extra["flow"] = flow
    return extra
