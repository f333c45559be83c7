"""Writes generated images and clips to disk, in shards that a training loop can map or load.

    python -m surgjax.synthetic.build --out DIR --images 12000 --clips 1500 --frames 8 --size 256

Path:    clip -> [build] -> training
Axes:    images_%05d.npz: images [n, S, S, 3], labels and parts [n, S, S], seeds [n];
         clips_%05d.npz: frames [n, T, S, S, 3], labels and parts [n, T, S, S], seeds [n].
         names [n, most objects of a scene]: category of object 1, 2, ..; "" where there is none.
Units:   arrays uint8, seeds int64. Image i has seed K + i, clip i has seed K + CLIP_OFFSET + i.
         Seeds from HELD_OUT on are for scoring and refused here without --held_out.
Errors:  SystemExit with a message; a shard appears under its name only when it is complete.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence

import cv2
import numpy as np

from surgjax.synthetic.clip import Clip, generate_clip, generate_image
from surgjax.synthetic.config import PRESETS, SceneConfig

CLIP_OFFSET = 5_000_000
HELD_OUT = 10_000_000
IMAGES_PER_SHARD, CLIPS_PER_SHARD = 500, 50


def _write(path: str, arrays: dict[str, np.ndarray]) -> None:
    partial = path + ".partial"
    with open(partial, "wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
    os.replace(partial, path)


def category_names(clips: Sequence[Clip]) -> np.ndarray:
    """Texts [n, most objects of a clip], by object; "" where a clip has fewer."""
    named = [list(clip.object_names) for clip in clips]
    most = max(map(len, named))
    return np.array([each + [""] * (most - len(each)) for each in named], np.str_)


def image_shard(seeds, size: int, config: SceneConfig | None = None) -> dict[str, np.ndarray]:
    """The arrays of one shard of single images."""
    made = [generate_image(int(seed), size, config) for seed in seeds]
    return dict(
        images=np.concatenate([clip.frames_u8 for clip in made]),
        labels=np.concatenate([clip.label_maps for clip in made]),
        parts=np.concatenate([clip.part_maps for clip in made]),
        seeds=np.asarray(seeds, np.int64),
        names=category_names(made),
    )


def clip_shard(
    seeds, num_frames: int, size: int, config: SceneConfig | None = None
) -> dict[str, np.ndarray]:
    """The arrays of one shard of clips."""
    made = [generate_clip(int(seed), num_frames, size, config) for seed in seeds]
    return dict(
        frames=np.stack([clip.frames_u8 for clip in made]),
        labels=np.stack([clip.label_maps for clip in made]),
        parts=np.stack([clip.part_maps for clip in made]),
        seeds=np.asarray(seeds, np.int64),
        names=category_names(made),
    )


def plan(images: int, clips: int, seed: int) -> list[tuple[str, np.ndarray]]:
    """Shards in writing order: four of images, then as many of clips as keeps pace."""
    image_seeds = np.arange(seed, seed + images)
    clip_seeds = np.arange(seed + CLIP_OFFSET, seed + CLIP_OFFSET + clips)
    shards = []
    for name, seeds, count in (
        ("images", image_seeds, IMAGES_PER_SHARD),
        ("clips", clip_seeds, CLIPS_PER_SHARD),
    ):
        chunks = [seeds[i : i + count] for i in range(0, len(seeds), count)]
        shards += [
            ((i + 0.5) / len(chunks), f"{name}_{i:05d}.npz", c) for i, c in enumerate(chunks)
        ]
    return [(name, chunk) for _, name, chunk in sorted(shards, key=lambda shard: shard[0])]


def build(
    out: str,
    images: int,
    clips: int,
    frames: int,
    size: int,
    seed: int,
    config: SceneConfig | None = None,
) -> None:
    """Writes every missing shard; complete ones found in `out` are kept."""
    cv2.setNumThreads(1)  # shards are the unit of parallel work, not pixels
    os.makedirs(out, exist_ok=True)
    shards, start = plan(images, clips, seed), time.perf_counter()
    for done, (name, seeds) in enumerate(shards):
        path = os.path.join(out, name)
        if not os.path.exists(path):
            if name.startswith("clips"):
                _write(path, clip_shard(seeds, frames, size, config))
            else:
                _write(path, image_shard(seeds, size, config))
        spent = time.perf_counter() - start
        left = spent / (done + 1) * (len(shards) - done - 1)
        print(
            f"{name}  {done + 1}/{len(shards)}  {spent:.0f} s, about {left:.0f} s left", flush=True
        )


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--images", type=int, default=0)
    parser.add_argument("--clips", type=int, default=0)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="wide")
    parser.add_argument("--held_out", action="store_true", help="allow seeds kept for scoring")
    flags = parser.parse_args(argv)
    if flags.images > CLIP_OFFSET or flags.clips > CLIP_OFFSET:
        sys.exit(f"--images and --clips go up to {CLIP_OFFSET}: their seeds would overlap.")
    last = flags.seed + max(flags.images, CLIP_OFFSET + flags.clips if flags.clips else 0)
    if last > HELD_OUT and not flags.held_out:
        sys.exit(f"--seed {flags.seed}: seeds from {HELD_OUT} are held out; give --held_out.")
    config = PRESETS[flags.preset]
    build(flags.out, flags.images, flags.clips, flags.frames, flags.size, flags.seed, config)


if __name__ == "__main__":
    main()
