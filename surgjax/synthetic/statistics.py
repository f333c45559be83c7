"""Plain figures of pictures, to see whether generated scenes stay in the range of real ones.

    python -m surgjax.synthetic.statistics --preset surgery --real FOLDER

Path:    clip -> [statistics] -> a printed table
Axes:    frames [N, S, S, 3] RGB uint8.
Units:   colours and saturation 0..255; gradient in grey levels per pixel; bands are the share of
         the grey spectrum's energy (without its mean) in octaves of cycles per picture.
Differs: nothing is fitted to these figures; they only show when a preset leaves the real range.
"""

import argparse
import pathlib

import cv2
import numpy as np

from surgjax.synthetic.clip import generate_image
from surgjax.synthetic.config import PRESETS

BANDS = ((1, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 128))
_SUFFIXES = (".png", ".jpg", ".jpeg")


def describe(frame_u8: np.ndarray) -> dict[str, float]:
    """Figures of one square frame [S, S, 3]."""
    found: dict[str, float] = {}
    for i, name in enumerate("RGB"):
        values = frame_u8[..., i]
        found[f"{name} mean"] = float(values.mean())
        for q in (5, 50, 95):
            found[f"{name} {q}%"] = float(np.percentile(values, q))
    found["saturation"] = float(cv2.cvtColor(frame_u8, cv2.COLOR_RGB2HSV)[..., 1].mean())
    found["white, %"] = float((frame_u8.min(-1) > 235).mean() * 100)
    found["dark, %"] = float((frame_u8.max(-1) < 25).mean() * 100)
    grey = frame_u8.astype(np.float32) @ np.array((0.299, 0.587, 0.114), np.float32)
    down, across = np.gradient(grey)
    slope = np.hypot(down, across)
    found["gradient"] = float(slope.mean())
    found["gradient 95%"] = float(np.percentile(slope, 95))
    side = grey.shape[0]
    window = np.outer(np.hanning(side), np.hanning(side))
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    cycles = np.fft.fftfreq(side, 1 / side)
    radius = np.hypot(cycles[:, None], cycles[None])
    total = power[radius >= 1].sum() + 1e-9
    for low, high in BANDS:
        share = power[(radius >= low) & (radius < high)].sum() / total
        found[f"band {low}-{high}, %"] = float(100 * share)
    return found


def table(groups: dict[str, list[np.ndarray]]) -> str:
    """Rows of figures; per group the 10th, 50th and 90th percentile over its frames."""
    described = {name: [describe(f) for f in frames] for name, frames in groups.items()}
    for name, rows in described.items():
        if not rows:
            raise ValueError(f"Group {name!r}: expected at least one frame, found none.")
    figures = list(next(iter(described.values()))[0])
    lines = [f"{'':16}" + "".join(f"{name:>26}" for name in described)]
    for figure in figures:
        cells = []
        for rows in described.values():
            low, mid, high = np.percentile([row[figure] for row in rows], (10, 50, 90))
            cells.append(f"{low:10.1f}{mid:8.1f}{high:8.1f}")
        lines.append(f"{figure:16}" + "".join(cells))
    return "\n".join(lines)


def read_folder(folder: str, size: int) -> list[np.ndarray]:
    """The pictures of a folder, centre-cropped to squares of `size`; no `*_mask.*`."""
    paths = sorted(
        path
        for path in pathlib.Path(folder).iterdir()
        if path.suffix.lower() in _SUFFIXES and not path.stem.endswith("_mask")
    )
    if not paths:
        raise ValueError(f"{folder}: expected pictures ({', '.join(_SUFFIXES)}), found none.")
    frames = []
    for path in paths:
        read = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if read is None:
            raise ValueError(f"{path}: not a picture that OpenCV can read.")
        height, width = read.shape[:2]
        edge = min(height, width)
        y, x = (height - edge) // 2, (width - edge) // 2
        square = read[y : y + edge, x : x + edge, ::-1]
        frames.append(cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA))
    return frames


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--preset", choices=sorted(PRESETS), default="surgery")
    parser.add_argument("--real", help="folder of real frames to compare with")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--seed", type=int, default=10_000_000)
    flags = parser.parse_args(argv)
    seeds = range(flags.seed, flags.seed + flags.images)
    made = [generate_image(seed, 256, PRESETS[flags.preset]).frames_u8[0] for seed in seeds]
    groups = {flags.preset: made}
    if flags.real:
        groups["real"] = read_folder(flags.real, 256)
    print(table(groups))


if __name__ == "__main__":
    main()
