"""Small folders of masks for the tests."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from surgjax.evaluation.folder_run import score_folders
from surgjax.inference.mask_writer import write_palette_png


def square(*objects, size=(40, 60)):
    """A label map; an object is (id, top, left, side)."""
    label_map = np.zeros(size, np.uint8)
    for label, top, left, side in objects:
        label_map[top : top + side, left : left + side] = label
    return label_map


def write(root, label_maps, start=0):
    """A folder of palette PNGs, five digits; returns it."""
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    for t, label_map in enumerate(label_maps, start):
        write_palette_png(root / f"{t:05d}.png", label_map)
    return str(root)


def write_palette(path, label_map, colours):
    """A palette PNG with colours of its own."""
    image = Image.fromarray(label_map)
    image.putpalette([channel for colour in colours for channel in colour])
    image.save(path)


def two_sequences(root, frames=5):
    """root/pred and root/gt: 'a' has objects 1 and 2, the second shifted; 'b' is perfect."""
    truth = [square((1, 4, 4 + t, 10), (2, 20, 30, 12)) for t in range(frames)]
    found = [square((1, 4, 4 + t, 10), (2, 20, 36, 12)) for t in range(frames)]
    for side, maps in (("gt", truth), ("pred", found)):
        write(Path(root) / side / "a", maps)
        write(Path(root) / side / "b", truth)
    return str(Path(root) / "pred"), str(Path(root) / "gt")


def refused(both, message, **options):
    """Both folders cannot be scored, and why."""
    with pytest.raises(ValueError, match=message):
        score_folders("davis17", *both, **options)
