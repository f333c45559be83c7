"""How many frames a second one core makes, by preset and by kind of truth.

    python -m surgjax.synthetic.benchmark --clips 4

Path:    clip -> [benchmark] -> a table on the terminal
Units:   frames per second of processor time with one OpenCV thread: what one free core makes,
         drawing of the scene included.
"""

import argparse
import time

import cv2

from surgjax.synthetic.clip import generate_clip
from surgjax.synthetic.config import PRESETS
from surgjax.synthetic.stream import PIXEL_TRUTHS

_LAZY = ("boxes_xyxy", "track_ids", "actions", "expressions")


def frames_per_second(preset: str, clips: int, frames: int, size: int, truth=(), lazy=()) -> float:
    """Of `clips` clips with seeds from 0; `lazy` names properties of Clip to read as well."""
    start = time.process_time()
    for seed in range(clips):
        clip = generate_clip(seed, frames, size, PRESETS[preset], truth)
        for name in lazy:
            getattr(clip, name)
    return clips * frames / (time.process_time() - start)


def table(presets, clips: int, frames: int, size: int) -> list[str]:
    """One line for each preset and kind of truth."""
    lines = [f"{'preset':<10}{'truth':<24}{'frames/s':>9}   {frames} frames of {size} px a clip"]
    for preset in presets:
        rows = [("frames, masks, parts", (), ()), *((f"+ {k}", (k,), ()) for k in PIXEL_TRUTHS)]
        rows += [(f"+ {name}", (), (name,)) for name in _LAZY]
        for name, truth, lazy in (*rows, ("+ all", PIXEL_TRUTHS, _LAZY)):
            speed = frames_per_second(preset, clips, frames, size, truth, lazy)
            lines.append(f"{preset:<10}{name:<24}{speed:>9.1f}")
            print(lines[-1] if len(lines) > 2 else "\n".join(lines), flush=True)
    return lines


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--presets", default=",".join(PRESETS), help="separated by commas")
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--size", type=int, default=256)
    flags = parser.parse_args(argv)
    presets = flags.presets.split(",")
    unknown = sorted(set(presets) - set(PRESETS))
    if unknown:
        parser.error(f"--presets: expected some of {sorted(PRESETS)}, found {unknown}.")
    cv2.setNumThreads(1)
    table(presets, flags.clips, flags.frames, flags.size)


if __name__ == "__main__":
    main()
