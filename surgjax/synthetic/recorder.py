"""What shutter and recorder add: blur along the camera's path, fields, thin colour.

Path:    [recorder] -> effects
Axes:    pictures [H, W, 3] RGB, uint8; motion blur takes float32.
Units:   shifts in pixels per frame, (x, y).
"""

import cv2
import numpy as np


def shutter_blur(image: np.ndarray, shift_xy, open_share: float = 0.5) -> np.ndarray:
    """Smears along the way the picture moves while the shutter is open, from one pixel on."""
    x, y = np.asarray(shift_xy, float) * open_share
    length = float(np.hypot(x, y))
    if length < 1.0:
        return image
    reach = int(np.ceil(length / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    half = np.array([x, y]) / 2
    ends = [tuple(np.round((reach + s * half) * 16).astype(int)) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA, 4)
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)


def interlace(picture: np.ndarray, previous: np.ndarray | None) -> np.ndarray:
    """Odd rows from the frame before, as two fields woven into one."""
    if previous is None:
        return picture
    woven = picture.copy()
    woven[1::2] = previous[1::2]
    return woven


def subsample_chroma(picture: np.ndarray, factor: int) -> np.ndarray:
    """Keeps one colour value per `factor` columns and rows (4:2:0 is 2), brightness in full."""
    if factor < 1:
        raise ValueError(f"factor: expected at least 1, found {factor}.")
    if factor == 1:
        return picture
    split = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)
    height, width = picture.shape[:2]
    small = (max(1, width // factor), max(1, height // factor))
    chroma = cv2.resize(split[..., 1:], small, interpolation=cv2.INTER_AREA)
    split[..., 1:] = cv2.resize(chroma, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(split, cv2.COLOR_YCrCb2RGB)
