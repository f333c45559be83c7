"""One picture that shows a whole video: frames at even steps, in reading order.

Path:    overlay -> [contact_sheet] -> sheet.png
Axes:    frames uint8 (H, W, 3) RGB of one size.
Units:   frame_index counts decoded frames from 0.
Errors:  ValueError for a sheet without frames.
Source:  ours.
Differs: nothing to compare with.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TILES = 12
_GAP = 4
_CAPTION = 16


def even_indices(frames: Sequence[int], count: int = TILES) -> list[int]:
    """At most `count` of the frames, evenly spread, first and last included."""
    if len(frames) <= count:
        return list(frames)
    places = np.round(np.linspace(0, len(frames) - 1, count)).astype(int)
    return [frames[place] for place in places]


class ContactSheet:
    """Collects small copies of the chosen frames as they go by; nothing else is kept."""

    def __init__(self, frames: Sequence[int], count: int = TILES, tile_width: int = 320):
        self.indices = even_indices(frames, count)
        self._wanted = set(self.indices)
        self.tiles: dict[int, Image.Image] = {}
        self._tile_width = tile_width if len(self.indices) > 1 else 3 * tile_width

    def add(self, frame_index: int, frame: np.ndarray) -> None:
        """Takes a frame if it is one of the chosen."""
        if frame_index not in self._wanted:
            return
        height, width = frame.shape[:2]
        tile_width = min(self._tile_width, width)
        size = (tile_width, max(1, round(height * tile_width / width)))
        self.tiles[frame_index] = Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)

    def image(self) -> Image.Image:
        """The sheet of all frames taken so far."""
        if not self.tiles:
            raise ValueError("a contact sheet needs at least one frame.")
        tiles = sorted(self.tiles.items())
        wide, high = tiles[0][1].size
        columns = min(len(tiles), max(1, math.ceil(math.sqrt(len(tiles) * high / wide * 1.6))))
        rows = math.ceil(len(tiles) / columns)
        step_x, step_y = wide + _GAP, high + _CAPTION + _GAP
        sheet = Image.new("RGB", (columns * step_x + _GAP, rows * step_y + _GAP), (32, 32, 32))
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
        for place, (frame_index, tile) in enumerate(tiles):
            x, y = _GAP + place % columns * step_x, _GAP + place // columns * step_y
            sheet.paste(tile, (x, y))
            draw.text((x + 2, y + high), f"frame {frame_index}", font=font, fill=(220, 220, 220))
        return sheet
