"""What the masks of a video depend on: two runs with the same settings can be one.

Path:    options, video, prompts, predictor -> [track_settings] -> summary.json, the snapshot
Axes:    none.
Units:   frames, pixels, frames per second.
Errors:  SettingsDiffer, naming every setting that differs with both values.
Source:  ours.
Differs: a video is known by its size in bytes and 64 pieces of it, not by all of it: reading ten
         gigabytes would take longer than the check is worth. Neither device nor versions count:
         a run may go on elsewhere, where equal masks to the last bit are not promised.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.track_options import TrackOptions
from experiments.track_snapshot import CannotGoOn
from surgjax.evaluation.video_results import differing
from surgjax.inference.frames import FrameSource
from surgjax.inference.image_files import IMAGE_SUFFIXES
from surgjax.inference.prompt_file import PromptFile

_PIECES, _PIECE = 64, 2**16
_FRAMES = 8  # of a video that is no file


class SettingsDiffer(CannotGoOn):
    """The output folder belongs to a run with other settings."""


def settings_of(
    options: TrackOptions, source: FrameSource, prompts: PromptFile, predictor: Any
) -> dict[str, Any]:
    """As they are written; `options.memory_options` are those of the policy, resolved."""
    return {
        "video": {
            "frames": source.num_frames,
            "width": source.width,
            "height": source.height,
            "fps": source.fps or options.fps,
            "sample_sha256": _video_sum(options.video, source),
        },
        "prompts_sha256": _prompts_sum(prompts),
        **model_settings(options, predictor),
        "memory": {"policy": options.memory} | dataclasses.asdict(options.memory_options),
    }


def model_settings(options: TrackOptions, predictor: Any) -> dict[str, Any]:
    """What is the same for all videos of a list."""
    classifier = getattr(predictor, "classifier", None)
    return {
        "model": predictor.config.name,
        "weights_sha256": predictor.checkpoint_sha256 or "random weights",
        "image_size": predictor.config.image_size,
        "precision": options.precision,
        "chunk": options.chunk,  # masks differ by rounding
        "memory": {"policy": options.memory, "options": options.memory_options},
        "direction": options.direction,
        "per_object_masks": options.per_object_masks,
        "text_bank_sha256": None if classifier is None else classifier.bank.sha256(),
        "per_frame_classes": options.per_frame_classes,
    }


def check_same(output: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """SettingsDiffer unless both are the same."""
    found = [f"{key} was {a!r} and is {b!r} now" for key, a, b in differing(old, new)]
    if found:
        raise SettingsDiffer(
            f"--resume: {output} holds a run with other settings: {'; '.join(found)}. Take another "
            "--output, or --overwrite to begin again."
        )


def _video_sum(video: Any, source: FrameSource) -> str:
    total = hashlib.sha256()
    if not isinstance(video, str | Path):  # from code: a few of its frames
        for t in np.unique(np.linspace(0, len(source) - 1, _FRAMES).astype(int)):
            total.update(np.ascontiguousarray(source[int(t)]).tobytes())
        return total.hexdigest()
    path = Path(video)
    if path.is_file():
        _add_pieces(total, path, _PIECES)
        return total.hexdigest()
    images = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    for image in images:
        total.update(f"{image.name} {image.stat().st_size}\n".encode())
    for image in images[:: max(1, len(images) // _PIECES)]:
        _add_pieces(total, image, 1)
    return total.hexdigest()


def _add_pieces(total: Any, path: Path, pieces: int) -> None:
    size = path.stat().st_size
    total.update(str(size).encode())
    with path.open("rb") as file:
        for place in np.unique(np.linspace(0, max(0, size - _PIECE), pieces).astype(np.int64)):
            file.seek(int(place))
            total.update(file.read(_PIECE))


def _prompts_sum(prompts: PromptFile) -> str:
    """Of what the file says, not of how it is written."""
    total = hashlib.sha256()
    for item in prompts.objects:
        total.update(json.dumps([item.object_id, item.name]).encode())
        for prompt in item.prompts:
            kind = "correction" if prompt.is_correction else "frame"
            total.update(f"{kind} {prompt.frame_index}\n".encode())
            for name in ("points_xy", "labels", "box_xyxy", "mask"):
                value = getattr(prompt, name)
                if value is not None:
                    total.update(f"{name} {value.shape} {value.dtype}\n".encode())
                    total.update(np.ascontiguousarray(value).tobytes())
    return total.hexdigest()
