r"""Writes a set made from one background and a few cut-outs.

  python -m surgjax.synthetic.single_background.build --background TISSUE.jpg \
    --cutouts FOLDER --out SET --images 2000 --clips 20 --frames 48

FOLDER holds X.jpg with X_mask.png (0 background, other values: instruments).

Path:    files -> compose -> [build] -> a folder in DAVIS's layout
Axes:    SET/JPEGImages/NAME/%05d.jpg, SET/Annotations/NAME/%05d.png (palette; values are track ids
         1..n, each the same instrument in all frames of NAME), SET/index.json: name -> frames,
         categories and sources of tracks 1..n, blending.
Errors:  a message and a nonzero exit; an item is written whole or not at all.
Source:  DAVIS 2017 for the layout.
Differs: index.json is ours. Items that are there already are kept, so a killed run goes on.
"""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from surgjax.synthetic.sheet import COLOURS, outline
from surgjax.synthetic.single_background.blending import BLENDINGS
from surgjax.synthetic.single_background.compose import (
    Composition,
    SingleBackground,
    SingleBackgroundConfig,
)
from surgjax.synthetic.single_background.cutouts import read_background, read_cutouts

INDEX = "index.json"


def _write_item(out: Path, name: str, item: Composition) -> None:
    """Frames first, then masks, each folder under a temporary name until it is whole."""
    from PIL import Image

    for kind in ("JPEGImages", "Annotations"):
        work, final = out / kind / f".unfinished-{name}", out / kind / name
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(final, ignore_errors=True)
        work.mkdir(parents=True)
        for t in range(len(item.frames_u8)):
            if kind == "JPEGImages":
                Image.fromarray(item.frames_u8[t]).save(work / f"{t:05d}.jpg", quality=95)
            else:
                mask = Image.fromarray(item.label_maps[t], "P")
                mask.putpalette(COLOURS.ravel().tolist())
                mask.save(work / f"{t:05d}.png")
        os.replace(work, final)


def _is_whole(out: Path, name: str, num_frames: int) -> bool:
    folder = out / "Annotations" / name  # written last
    return folder.is_dir() and sum(1 for _ in folder.iterdir()) == num_frames


def build(generator: SingleBackground, out: Path, images: int, clips: int, frames: int) -> dict:
    """Writes every missing item and the index. Returns the index."""
    cv2.setNumThreads(1)
    plan = [(f"image_{i:05d}", i, 1) for i in range(images)]
    plan += [(f"clip_{i:05d}", i, frames) for i in range(clips)]
    index, start, told = {}, time.monotonic(), 0.0
    for done, (name, i, length) in enumerate(plan, 1):
        item = generator.clip(i, length)
        if not _is_whole(out, name, length):
            _write_item(out, name, item)
        index[name] = {
            "frames": length,
            "categories": item.categories,
            "sources": item.sources,
            "blending": item.blending,
        }
        spent = time.monotonic() - start
        if spent - told > 2 or done == len(plan):
            told = spent
            left = spent / done * (len(plan) - done)
            print(f"{done}/{len(plan)} items, {spent:.0f} s, about {left:.0f} s left", flush=True)
    work = out / f".{INDEX}"
    work.write_text(json.dumps(index, indent=1) + "\n")
    os.replace(work, out / INDEX)
    return index


def contact_sheet(generator: SingleBackground, columns: int = 6, tile: int = 160) -> np.ndarray:
    """A row of images, the same outlined, and a row of frames of a pseudo-video."""
    made = [generator.image(i) for i in range(columns)]
    clip = generator.clip(0, 3 * columns)
    rows = [
        [m.frames_u8[0] for m in made],
        [outline(m.frames_u8[0], m.label_maps[0], 2) for m in made],
        [outline(clip.frames_u8[t], clip.label_maps[t], 2) for t in range(0, 3 * columns, 3)],
    ]
    size = (tile, tile)
    return np.vstack(
        [np.hstack([cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in r]) for r in rows]
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--background", required=True)
    parser.add_argument("--cutouts", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--images", type=int, default=0)
    parser.add_argument("--clips", type=int, default=0)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--blendings", default="paste", help=f"some of {','.join(BLENDINGS)}")
    flags = parser.parse_args(argv)
    if flags.images < 0 or flags.clips < 0 or flags.images + flags.clips == 0 or flags.frames < 2:
        sys.exit("--images or --clips: a number above 0 expected, and --frames of 2 or more.")
    try:
        config = SingleBackgroundConfig(
            size=flags.size, blendings=tuple(flags.blendings.split(","))
        )
        background = read_background(flags.background)
        cutouts = read_cutouts(flags.cutouts)
        print(f"{len(cutouts)} cut-outs from {flags.cutouts}, {flags.size} px")
        generator = SingleBackground(background, cutouts, config, flags.seed)
        build(generator, flags.out, flags.images, flags.clips, flags.frames)
        sheet = contact_sheet(generator)
        cv2.imwrite(str(flags.out / "sheet.png"), sheet[..., ::-1])
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    print(f"results:\n  {flags.out}/JPEGImages\n  {flags.out}/Annotations\n  {flags.out}/sheet.png")


if __name__ == "__main__":
    main()
