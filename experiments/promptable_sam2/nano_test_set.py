r"""The fixed generated scenes that nano is judged by, and the sums that show they are unchanged.

  python -m experiments.promptable_sam2.nano_test_set > NEW.json

Path:    nano_test_set.json -> [nano_test_set] -> evaluate_nano
Units:   seeds from 10,000,000 on, on which nothing is trained; sums are SHA-256 in hexadecimal.
Errors:  ValueError naming the group whose scenes differ from those that were scored.
Differs: a file of seeds and sums instead of pictures: the scenes are made when they are needed.
"""

import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np

from surgjax.synthetic import generate_clip
from surgjax.synthetic.build import CLIP_OFFSET
from surgjax.synthetic.config import PRESETS

MANIFEST = pathlib.Path(__file__).with_name("nano_test_set.json")
SEED = 12_000_000
FRAMES, SIZE = 16, 256
IMAGES_PER_SUM = 20
# How many single images and how many clips of each preset.
COUNTS = {
    "simple": (100, 24),
    "clear": (100, 0),
    "wide": (100, 0),
    "abdomen": (100, 12),
    "surgery": (40, 8),
}


def sum_of(preset: str, seed: int, scenes: int, frames: int) -> str:
    """SHA-256 of frames and label maps of the scenes `seed`, `seed` + 1 and so on."""
    total = hashlib.sha256()
    for i in range(scenes):
        clip = generate_clip(seed + i, frames, SIZE, PRESETS[preset])
        total.update(clip.frames_u8.tobytes())
        total.update(clip.label_maps.tobytes())
    return total.hexdigest()


def groups() -> Iterator[dict[str, Any]]:
    """What the test set holds: groups that share a sum, a few single images or one clip."""
    for preset, (images, clips) in COUNTS.items():
        for first in range(0, images, IMAGES_PER_SUM):
            count = min(IMAGES_PER_SUM, images - first)
            yield {"preset": preset, "seed": SEED + first, "scenes": count, "frames": 1}
        for i in range(clips):
            seed = SEED + CLIP_OFFSET + i
            yield {"preset": preset, "seed": seed, "scenes": 1, "frames": FRAMES}


def make() -> dict[str, Any]:
    """The manifest of what today's generator makes."""
    cv2.setNumThreads(1)
    summed = [{**group, "sha256": sum_of(**group)} for group in groups()]
    versions = {"opencv": cv2.__version__, "numpy": np.__version__}
    return {"size": SIZE, "versions": versions, "groups": summed}


def load(path: pathlib.Path = MANIFEST) -> dict[str, Any]:
    """The committed manifest."""
    return json.loads(path.read_text())


def check(group: Mapping[str, Any]) -> None:
    """Refuses a group whose scenes are not, to the byte, those of the manifest."""
    found = sum_of(**{key: group[key] for key in ("preset", "seed", "scenes", "frames")})
    if found != group["sha256"]:
        raise ValueError(
            f"{group['preset']} scenes from seed {group['seed']} on, {group['frames']} frames: "
            f"expected sum {group['sha256'][:12]}, found {found[:12]}; the generator has changed, "
            "so scores are no longer comparable with those of the model card."
        )


def seeds_of(manifest: Mapping[str, Any], preset: str, clips: bool) -> range:
    """Seeds of a preset's single images, or of its clips, in the order they are scored."""
    groups = [
        group for group in manifest["groups"]
        if group["preset"] == preset and (group["frames"] > 1) == clips
    ]  # fmt: skip
    if not groups:
        return range(0)
    return range(groups[0]["seed"], groups[-1]["seed"] + groups[-1]["scenes"])


if __name__ == "__main__":
    print(json.dumps(make(), indent=1))
