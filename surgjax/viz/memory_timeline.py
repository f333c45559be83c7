"""Which frames a tracker remembers, as one picture: a row for every frame that was tracked.

Path:    frames held by a bank -> [memory_timeline] -> a picture
Axes:    the picture is uint8 (H, W, 3) RGB. Remembered frames from left to right, the frame that
         remembers them downward, so what is kept for long draws a line down and the latest frames
         draw the diagonal.
Units:   frame indices count decoded frames from 0.
Errors:  ValueError for no rows, or a remembered frame outside the video.
Source:  colours of Okabe and Ito, Color Universal Design (2008).
Differs: nothing to compare with.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLOURS = {"prompted": (0, 0, 0), "recent": (86, 180, 233), "long": (213, 94, 0)}
_ABSENT, _PAPER, _GRID, _TEXT = (228, 228, 228), (255, 255, 255), (190, 190, 190), (40, 40, 40)
_LEFT, _TOP, _BOTTOM = 46, 26, 22
_SIDE = 420  # of the field, about
_LINE = 3  # pixels across which a remembered frame is drawn at least


def draw_memory_timeline(
    held: Mapping[int, Mapping[str, Iterable[int]]],
    num_frames: int,
    absent: Iterable[int] = (),
    title: str = "",
) -> np.ndarray:
    """`held`: frame -> kind (prompted, recent, long) -> frames remembered after it.

    Kinds are drawn in that order, later ones over earlier ones. `absent`: frames on which the
    object is out of sight, a grey column each.
    """
    if not held:
        raise ValueError("memory timeline: no row to draw")
    scale = max(1.0, _SIDE / num_frames)
    side = round(num_frames * scale)
    image = Image.new("RGB", (_LEFT + side + 12, _TOP + side + _BOTTOM), _PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)

    def fill(frame: int, top: float, bottom: float, width: float, colour) -> None:
        middle, half = _LEFT + (frame + 0.5) * scale, max(width, scale) / 2
        left, right = max(middle - half, _LEFT), min(middle + half, _LEFT + side)
        box = (math.floor(left), math.floor(top), math.ceil(right) - 1, math.ceil(bottom) - 1)
        draw.rectangle(box, fill=colour)  # rounded outward: no gaps between neighbours

    for frame in absent:
        fill(frame, _TOP, _TOP + side, 1, _ABSENT)
    for kind, colour in COLOURS.items():
        for now, kinds in held.items():
            y = _TOP + now * scale
            for frame in kinds.get(kind, ()):
                if not 0 <= frame < num_frames:
                    raise ValueError(f"memory timeline: frame {frame} of {num_frames} frames")
                fill(frame, y, y + scale, 1 if kind == "recent" else _LINE, colour)
    draw.rectangle((_LEFT, _TOP, _LEFT + side, _TOP + side), outline=_GRID)
    for frame in _ticks(num_frames):
        at = (frame + 0.5) * scale
        draw.text((_LEFT + at, _TOP + side + 4), str(frame), _TEXT, font, anchor="mt")
        draw.text((_LEFT - 5, _TOP + at), str(frame), _TEXT, font, anchor="rm")
    draw.text((_LEFT, _TOP - 6), title, _TEXT, font, anchor="ls")
    return np.array(image)


def legend(width: int = 720) -> np.ndarray:
    """What the colours mean, in one line to put above timelines."""
    image = Image.new("RGB", (width, 22), _PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    names = {
        "prompted frame": COLOURS["prompted"],
        "recent frames": COLOURS["recent"],
        "kept for long": COLOURS["long"],
        "object out of sight": _ABSENT,
    }
    x = _LEFT
    for name, colour in names.items():
        draw.rectangle((x, 5, x + 14, 16), fill=colour)
        draw.text((x + 19, 11), name, _TEXT, font, anchor="lm")
        x += 40 + round(draw.textlength(name, font=font))
    return np.array(image)


def _ticks(num_frames: int) -> Sequence[int]:
    """At most six round numbers."""
    for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000):
        if num_frames / step <= 6:
            return range(0, num_frames, step)
    return (0, num_frames - 1)
