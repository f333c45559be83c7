"""Contact sheets of what a clip knows about itself: outlines, boxes, depth, flow, sentences.

    python -m surgjax.synthetic.truth_sheet --out sheet.png --preset surgery --seed 10000000

Path:    clip, annotators -> [truth_sheet] -> a picture file
Axes:    a sheet is [H, W, 3] uint8 RGB; rows of frames with outlines, boxes and captions, of depth,
         of flow, and of one frame as each rater draws it.
Units:   depth from red (near) to blue (far), 20 to 120 mm; flow by direction (hue) and length
         (brightness, full at 4 % of the side); white where it has no counterpart.
"""

import argparse

import cv2
import numpy as np
from PIL import Image

from surgjax.synthetic.annotators import RATERS, annotate
from surgjax.synthetic.clip import Clip, generate_clip
from surgjax.synthetic.config import PRESETS
from surgjax.synthetic.procedure import PHASES
from surgjax.synthetic.sheet import COLOURS, outline

_NEAR_MM, _FAR_MM = 20, 120


def depth_picture(depth_mm: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8: red near, blue far, black where there is none."""
    share = np.clip((_FAR_MM - depth_mm) / (_FAR_MM - _NEAR_MM), 0, 1)
    bgr = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    return np.where(depth_mm[..., None] > 0, bgr[..., ::-1], 0).astype(np.uint8)


def flow_picture(flow_px: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8: hue is direction, brightness length; white where not valid."""
    length, angle = cv2.cartToPolar(flow_px[..., 0], flow_px[..., 1], angleInDegrees=True)
    full = np.clip(length / (0.04 * len(flow_px)), 0, 1)
    hsv = np.stack([angle / 2, np.full_like(angle, 255), 255 * full], -1).astype(np.uint8)
    return np.where(valid[..., None], cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), 255).astype(np.uint8)


def _marked(clip: Clip, t: int) -> np.ndarray:
    drawn = outline(clip.frames_u8[t], clip.label_maps[t])
    for index in np.flatnonzero(clip.visible[t]):
        x0, y0, x1, y1 = (int(v) for v in clip.boxes_xyxy[t, index])
        colour = tuple(int(c) // 2 + 60 for c in COLOURS[1 + index % (len(COLOURS) - 1)])
        cv2.rectangle(drawn, (x0, y0), (x1, y1), colour, 1)
        label = "/".join(str(v) for v in clip.track_ids[t, index])
        cv2.putText(drawn, label, (x0 + 2, y0 + 9), 0, 0.3, colour, 1, cv2.LINE_AA)
    return drawn


def _captions(clip: Clip, t: int, width: int) -> np.ndarray:
    """Phase, triplets and a few sentences that hold in the frame, on black."""
    phase = clip.phase_ids[t]
    lines = [f"{t}: {PHASES[phase] if phase >= 0 else '-'}"]
    lines += [" ".join(triplet) for triplet in clip.triplets(t)]
    told = [e for e in clip.expressions if e.first_frame <= t <= e.last_frame]
    told.sort(key=lambda e: (-len(e.text.split()) % 5, e.object_id))
    lines += [f"{e.object_id} {e.text}" for e in told[:: max(1, len(told) // 5)]]
    board = np.zeros((118, width, 3), np.uint8)
    for row, line in enumerate(lines[:9]):
        cv2.putText(board, line, (3, 11 + 13 * row), 0, 0.31, (230,) * 3, 1, cv2.LINE_AA)
    return board


def truth_sheet(clip: Clip, columns: int = 5) -> np.ndarray:
    """Some frames of a clip that was made with depth and flow, and their truth below them."""
    if clip.depth_mm is None or clip.flow_px is None or clip.flow_valid is None:
        raise ValueError('A truth sheet needs a clip made with truth=("depth", "flow").')
    last = len(clip.flow_px) - 1
    times = np.linspace(0, last, columns).round().astype(int)
    side = clip.frames_u8.shape[1]
    flows = [flow_picture(clip.flow_px[t], clip.flow_valid[t]) for t in times]
    middle = times[columns // 2]
    frame, labels = clip.frames_u8[middle], clip.label_maps[middle]
    raters = [outline(frame, annotate(labels, rater, clip.seed)) for rater in RATERS]
    lines = [
        [_marked(clip, t) for t in times],
        [_captions(clip, t, side) for t in times],
        [depth_picture(clip.depth_mm[t]) for t in times],
        flows,
        (raters + [np.zeros_like(frame)] * columns)[:columns],
    ]
    return np.vstack([np.hstack(line) for line in lines])


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="surgery")
    parser.add_argument("--seed", type=int, default=10_000_000)
    parser.add_argument("--frames", type=int, default=64)
    flags = parser.parse_args(argv)
    if flags.frames < 2:
        parser.error(f"--frames: flow needs 2 or more, found {flags.frames}.")
    clip = generate_clip(flags.seed, flags.frames, 256, PRESETS[flags.preset], ("depth", "flow"))
    Image.fromarray(truth_sheet(clip)).save(flags.out, optimize=True)


if __name__ == "__main__":
    main()
