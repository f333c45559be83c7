"""A sheet of the worst answers: outlines of truth and answer, the prompt, the score.

Path:    scoring.Answer -> [failure_pictures] -> PNG
Axes:    tiles are `TILE` pixels high and wide, pictures keep their proportions inside.
Units:   scores are IoU in 0..1.
Errors:  ValueError where there is nothing to draw.
Differs: real frames are drawn like generated ones; where their terms allow no copies, keep the
         sheet to yourself.
"""

import heapq
import itertools
import pathlib
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from experiments.promptable_sam2.scoring import Answer
from surgjax.checkpoints.atomic import atomic_file

TILE, COLUMNS, CAPTION = 320, 4, 18
TRUTH, ANSWER, PROMPT = (0, 230, 120), (255, 120, 0), (255, 255, 255)


class Worst:
    """Keeps the `count` answers with the lowest IoU of those it is called with."""

    def __init__(self, count: int = 12):
        self._count = count
        self._heap: list[tuple[float, int, Answer]] = []  # the best of the kept ones on top
        self._order = itertools.count()

    def __call__(self, answer: Answer) -> None:
        heapq.heappush(self._heap, (-answer.iou, next(self._order), answer))
        if len(self._heap) > self._count:
            heapq.heappop(self._heap)

    @property
    def answers(self) -> list[Answer]:
        """The kept ones, the worst first."""
        return [answer for _, _, answer in sorted(self._heap, key=lambda kept: -kept[0])]


def draw_tile(answer: Answer) -> np.ndarray:
    """uint8 RGB [TILE, TILE, 3]: truth green, answer orange, the box or the clicks white."""
    height, width = answer.target.shape
    scale = TILE / max(height, width)
    size = (round(width * scale), round(height * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    tile = cv2.resize(np.ascontiguousarray(answer.image), size, interpolation=way)
    for mask, colour in ((answer.target, TRUTH), (answer.mask, ANSWER)):
        small = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        found, _ = cv2.findContours(small, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, found, -1, colour, 1, cv2.LINE_AA)
    if answer.box_xyxy is not None:
        x0, y0, x1, y1 = (round(float(v) * scale) for v in answer.box_xyxy)
        cv2.rectangle(tile, (x0, y0), (x1, y1), PROMPT, 1)
    for x, y in () if answer.points_xy is None else answer.points_xy * scale:
        cv2.drawMarker(tile, (round(x), round(y)), PROMPT, cv2.MARKER_CROSS, 12, 2)
    left, top = (TILE - size[0]) // 2, (TILE - size[1]) // 2
    whole = np.zeros((TILE, TILE, 3), np.uint8)
    whole[top : top + size[1], left : left + size[0]] = tile
    return whole


def draw_sheet(answers: Sequence[Answer]) -> Image.Image:
    """The answers in reading order, each with its name and IoU below."""
    if not answers:
        raise ValueError("a sheet of failures needs at least one answer.")
    columns, rows = min(COLUMNS, len(answers)), -(-len(answers) // COLUMNS)
    sheet = Image.new("RGB", (columns * TILE, rows * (TILE + CAPTION)), (20, 20, 20))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, answer in enumerate(answers):
        x, y = place % columns * TILE, place // columns * (TILE + CAPTION)
        sheet.paste(Image.fromarray(draw_tile(answer)), (x, y))
        text = f"{answer.iou:.2f}  {answer.name}"
        draw.text((x + 3, y + TILE + 1), text, font=font, fill=(230, 230, 230))
    return sheet


def write_sheet(path: pathlib.Path, worst: Worst) -> None:
    """PNG of the kept answers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = draw_sheet(worst.answers)
    with atomic_file(path) as temporary:
        sheet.save(temporary, format="PNG")
