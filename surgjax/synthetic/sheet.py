"""Contact sheets of generated scenes, to judge them with the eye.

    python -m surgjax.synthetic.sheet --out docs/synthetic_sheet.png --seed 10000000

Path:    clip -> [sheet] -> a picture file
Axes:    a sheet is [H, W, 3] uint8 RGB: single images with outlined truth, then one clip per row.
"""

import argparse

import cv2
import numpy as np
from PIL import Image

from surgjax.synthetic.clip import generate_clip, generate_image

COLOURS = np.array(
    [
        (0, 0, 0),
        (64, 200, 255),
        (255, 200, 40),
        (90, 255, 110),
        (255, 90, 200),
        (255, 120, 60),
        (150, 130, 255),
        (240, 240, 240),
        (0, 255, 220),
    ],
    np.uint8,
)


def outline(frame_u8: np.ndarray, label_map: np.ndarray, thickness: int = 1) -> np.ndarray:
    """The frame with the border of every object drawn in the object's colour."""
    drawn = frame_u8.copy()
    for label in np.unique(label_map[label_map > 0]):
        mask = (label_map == label).astype(np.uint8)
        found, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        colour = COLOURS[1 + (int(label) - 1) % (len(COLOURS) - 1)]
        cv2.drawContours(drawn, found, -1, tuple(int(c) for c in colour), thickness)
    return drawn


def contact_sheet(seed: int, columns: int = 6, rows: int = 3, clips: int = 2, tile: int = 120):
    """`rows` of single images and `clips` rows of clips, outlined, each tile `tile` pixels wide."""

    def small(frame, labels):
        area = (tile, tile)
        marked = cv2.resize(frame, area, interpolation=cv2.INTER_AREA)
        return outline(marked, cv2.resize(labels, area, interpolation=cv2.INTER_NEAREST))

    lines = []
    for row in range(rows):
        made = [generate_image(seed + row * columns + i) for i in range(columns)]
        lines.append(np.hstack([small(c.frames_u8[0], c.label_maps[0]) for c in made]))
    for row in range(clips):
        clip = generate_clip(seed + rows * columns + row, 16)
        times = np.linspace(0, len(clip.frames_u8) - 1, columns).round().astype(int)
        lines.append(np.hstack([small(clip.frames_u8[t], clip.label_maps[t]) for t in times]))
    return np.vstack(lines)


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--seed", type=int, default=10_000_000)
    flags = parser.parse_args(argv)
    sheet = contact_sheet(flags.seed)
    # A palette keeps the file small enough to commit; dithering hides its bands.
    picture = Image.fromarray(sheet)
    palette = picture.quantize(192)
    dithered = picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    dithered.save(flags.out, optimize=True)


if __name__ == "__main__":
    main()
