"""Masks as COCO's run lengths: column by column, the first run is of zeros.

Path:    bool masks <-> [run_lengths] <-> automatic_masks, annotation files
Axes:    masks bool [H, W]; "size" is [H, W] too.
Errors:  none of its own.
Source:  COCO's mask API (pycocotools), which does the coding.
Differs: its compressed runs are bytes; here text, as annotation files hold them.
"""

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

RunLengths = dict[str, Any]  # "size" [H, W]; "counts" a list of runs, or text (compressed)


def compress(mask: np.ndarray) -> RunLengths:
    """The compressed runs of a mask."""
    code: Any = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": code["counts"].decode("ascii")}


def to_mask(runs: RunLengths) -> np.ndarray:
    """The bool mask [H, W] of compressed runs."""
    code: Any = {"size": runs["size"], "counts": runs["counts"].encode("ascii")}
    return coco_mask.decode(code).astype(bool)


def area(runs: RunLengths) -> int:
    """Pixels of the mask of compressed runs."""
    code: Any = {"size": runs["size"], "counts": runs["counts"].encode("ascii")}
    return int(coco_mask.area(code))


def uncompressed(mask: np.ndarray) -> RunLengths:
    """The runs of a mask as a list of lengths."""
    flat = mask.T.ravel()
    ends = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()
    return {"size": list(mask.shape), "counts": [0, *lengths] if flat[0] else lengths}
