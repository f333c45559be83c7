"""Contact sheets of generated scenes, to judge them with the eye.

    python -m surgjax.synthetic.sheet --out docs/synthetic_sheet.png --plain --tile 160
    python -m surgjax.synthetic.sheet --out JUDGE.png --plain --rows 6 --clips 0 --real FOLDER

Path:    clip -> [sheet] -> a picture file
Axes:    a sheet is [H, W, 3] uint8 RGB: rows of single images, outlined unless plain, then one
         clip per row, outlined; with a folder of real frames, every second image is a real one.
Errors:  ValueError for a folder without pictures; argparse's own for a preset that is not there.
Differs: a sheet with real frames is for judging, not for keeping: those frames are not ours.
"""

import argparse

import cv2
import numpy as np
from PIL import Image

from surgjax.synthetic import statistics
from surgjax.synthetic.clip import generate_clip, generate_image
from surgjax.synthetic.config import PRESETS

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


def contact_sheet(
    seed: int,
    columns: int = 6,
    rows: int = 3,
    clips: int = 2,
    tile: int = 120,
    preset: str = "surgery",
    *,
    plain: bool = False,
    real: list[np.ndarray] | None = None,
) -> np.ndarray:
    """`rows` of single images and `clips` rows of clips, each tile `tile` pixels wide.

    `plain` leaves the outlines out of single images. `real` frames (square) take the place of
    every second one.
    """
    config = PRESETS[preset]

    def small(frame, labels=None):
        area = (tile, tile)
        marked = cv2.resize(frame, area, interpolation=cv2.INTER_AREA)
        if labels is None:
            return marked
        return outline(marked, cv2.resize(labels, area, interpolation=cv2.INTER_NEAREST))

    def single(index):
        if real and index % 2:
            return small(real[(index // 2) % len(real)])
        clip = generate_image(seed + index, config=config)
        return small(clip.frames_u8[0], None if plain else clip.label_maps[0])

    lines = []
    for row in range(rows):
        lines.append(np.hstack([single(row * columns + i) for i in range(columns)]))
    for row in range(clips):
        clip = generate_clip(seed + rows * columns + row, 32, config=config)
        times = np.linspace(0, len(clip.frames_u8) - 1, columns).round().astype(int)
        lines.append(np.hstack([small(clip.frames_u8[t], clip.label_maps[t]) for t in times]))
    return np.vstack(lines)


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--seed", type=int, default=10_000_300)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="surgery")
    parser.add_argument("--rows", type=int, default=4, help="rows of single images")
    parser.add_argument("--clips", type=int, default=2, help="rows of clips")
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--tile", type=int, default=128, help="pixels per tile")
    parser.add_argument("--plain", action="store_true", help="no outlines in single images")
    parser.add_argument("--real", help="folder of real frames to put beside the generated ones")
    flags = parser.parse_args(argv)
    real = statistics.read_folder(flags.real, 256) if flags.real else None
    sheet = contact_sheet(
        flags.seed,
        flags.columns,
        flags.rows,
        flags.clips,
        flags.tile,
        flags.preset,
        plain=flags.plain,
        real=real,
    )
    # A palette keeps the file small enough to commit; dithering hides its bands.
    picture = Image.fromarray(sheet)
    palette = picture.quantize(256)
    dithered = picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    dithered.save(flags.out, optimize=True)


if __name__ == "__main__":
    main()
