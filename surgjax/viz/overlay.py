"""Draws masks, names, scores and prompts over a frame.

Path:    label map + frame -> [overlay] -> contact_sheet, video_writer
Axes:    frame uint8 (H, W, 3) RGB; label_map uint8 (H, W), 0 is background.
Units:   prompts in pixels of the frame.
Errors:  ValueError if the label map does not have the frame's size.
Source:  colours: Okabe and Ito, Color Universal Design (2008), safe for colour-blind readers.
Differs: SAM 2's notebooks paint by matplotlib, on random colours past ten objects; here an object
         keeps its colour in every frame, run and tool, because the colour depends on its id alone.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Tissue is red and bright: colours far from it come first, vermilion last.
_COLOURS = np.array(
    [
        (86, 180, 233),  # sky blue
        (240, 228, 66),  # yellow
        (0, 158, 115),  # bluish green
        (0, 114, 178),  # blue
        (230, 159, 0),  # orange
        (204, 121, 167),  # reddish purple
        (213, 94, 0),  # vermilion
    ],
    np.float32,
)
_SHADES = (1.0, 0.62, 1.35)  # later rounds of the seven colours are darker, then lighter
FILL_OPACITY = 0.4


@dataclasses.dataclass(frozen=True)
class PromptMarks:
    """What the user said about one object on this frame; arrays in pixels."""

    object_id: int
    points_xy: np.ndarray | None = None
    labels: np.ndarray | None = None
    box_xyxy: np.ndarray | None = None
    is_mask: bool = False


def object_colour(object_id: int) -> tuple[int, int, int]:
    """The colour of an object, a function of its id only."""
    turn, place = divmod(object_id - 1, len(_COLOURS))
    red, green, blue = np.clip(_COLOURS[place] * _SHADES[turn % len(_SHADES)], 0, 255)
    return int(red), int(green), int(blue)


@cache
def _lookup() -> np.ndarray:
    return np.array([object_colour(max(value, 1)) for value in range(256)], np.uint8)


def contours(label_map: np.ndarray, thickness: int = 1) -> np.ndarray:
    """Pixels of an object within `thickness` of another label; the frame's edge is no contour."""
    edge = np.zeros(label_map.shape, bool)
    for labels, rim in ((label_map, edge), (label_map.T, edge.T)):
        for distance in range(1, min(thickness, labels.shape[0] - 1) + 1):
            differs = labels[distance:] != labels[:-distance]
            rim[distance:] |= differs
            rim[:-distance] |= differs
    return edge & (label_map > 0)


def line_width(height: int, width: int) -> int:
    """Lines that look alike at any size: one pixel per 400 of the shorter side."""
    return max(1, round(min(height, width) / 400))


@cache
def _font(size: int):
    return ImageFont.load_default(size)


def _text_size(height: int, width: int) -> int:
    return max(10, round(min(height, width) / 32))


def _write(draw: ImageDraw.ImageDraw, xy, text: str, size: int, colour, limit) -> None:
    """Text on a dark plate, moved inside the frame."""
    font = _font(size)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    pad = max(1, size // 6)
    wide, high = right - left + 2 * pad, bottom - top + 2 * pad
    x = int(np.clip(xy[0], 0, max(limit[0] - wide, 0)))
    y = int(np.clip(xy[1], 0, max(limit[1] - high, 0)))
    draw.rectangle((x, y, x + wide, y + high), fill=(20, 20, 20))
    draw.text((x + pad - left, y + pad - top), text, font=font, fill=colour)


def _draw_marks(draw: ImageDraw.ImageDraw, marks: PromptMarks, line: int) -> None:
    """Points as a plus (on the object) or a bar (off it), told apart by shape, and the box."""
    colour = object_colour(marks.object_id)
    if marks.box_xyxy is not None:
        box = [float(v) for v in marks.box_xyxy]
        draw.rectangle(box, outline=colour, width=line + 1)
    if marks.points_xy is None:
        return
    labels = np.ones(len(marks.points_xy)) if marks.labels is None else marks.labels
    radius = 5 * line + 2
    for (x, y), label in zip(marks.points_xy.tolist(), labels, strict=True):
        ring = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(ring, fill=colour if label else (255, 255, 255), outline=(0, 0, 0), width=line)
        arm = radius - line - 1
        draw.line((x - arm, y, x + arm, y), fill=(0, 0, 0), width=line + 1)
        if label:
            draw.line((x, y - arm, x, y + arm), fill=(0, 0, 0), width=line + 1)


def draw_overlay(
    frame: np.ndarray,
    label_map: np.ndarray,
    names: Mapping[int, str | None] | None = None,
    scores: Mapping[int, float] | None = None,
    marks: Sequence[PromptMarks] = (),
    caption: str = "",
) -> np.ndarray:
    """The frame with each object filled, outlined and labelled "id name score"; a new array."""
    if frame.shape[:2] != label_map.shape:
        raise ValueError(f"label map {label_map.shape} on a frame of {frame.shape[:2]}.")
    height, width = label_map.shape
    line = line_width(height, width)
    out = np.array(frame)
    pixels, labels = out.reshape(-1, 3), label_map.ravel()
    inside = np.flatnonzero(labels)
    keep = round(256 * (1 - FILL_OPACITY))  # in 256ths: several times faster than in floats
    tint = (256 - keep) * _lookup().astype(np.uint16)
    pixels[inside] = (keep * pixels[inside].astype(np.uint16) + tint[labels[inside]]) >> 8
    edge = np.flatnonzero(contours(label_map, line))
    pixels[edge] = _lookup()[labels[edge]]

    image = Image.fromarray(out)
    draw = ImageDraw.Draw(image)
    size = _text_size(height, width)
    for mark in marks:
        _draw_marks(draw, mark, line)
    counts = np.bincount(label_map.ravel(), minlength=256)
    for object_id in np.flatnonzero(counts[1:]) + 1:
        object_id = int(object_id)
        here = label_map == object_id
        top = int(np.argmax(here.any(1)))
        left = int(np.argmax(here[top]))
        parts = [str(object_id), (names or {}).get(object_id)]
        score = (scores or {}).get(object_id)
        parts.append(None if score is None else f"{score:.2f}")
        text = " ".join(part for part in parts if part)
        corner = (left, top - round(1.6 * size))
        _write(draw, corner, text, size, object_colour(object_id), (width, height))
    prompted = [f"{m.object_id}{' (mask)' if m.is_mask else ''}" for m in marks]
    if prompted:
        caption = f"{caption}  prompt: {', '.join(prompted)}".strip()
    if caption:
        _write(draw, (0, 0), caption, size, (255, 255, 255), (width, height))
    return np.array(image)
