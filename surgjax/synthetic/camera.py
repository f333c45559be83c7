"""Where the camera looks: hand-held drift, changes of viewpoint, cuts.

Path:    config -> [camera] -> scene -> flow, depth
Axes:    matrices are [T, 3, 3], world pixel -> frame pixel, each an invertible similarity; `cuts`
         is [T] bool: frame t is the first of a new view. The first frame of a clip is no cut.
Units:   a world pixel is a frame pixel of the untouched view; `margin` is what of the world there
         is beyond each border of that view; angles in radians.
Differs: the camera turns about its own axis, shifts and comes nearer; it does not look sideways, so
         all views share one projection and motion between frames stays exact.
"""

import dataclasses

import numpy as np

from surgjax.synthetic import motion, noise
from surgjax.synthetic.instruments import similarity


@dataclasses.dataclass(frozen=True)
class CameraPath:
    """One similarity per frame, and where the view jumps."""

    matrices: np.ndarray
    cuts: np.ndarray


def hand_held(rng, num_frames: int, side: int, config) -> np.ndarray:
    """[T, 3, 3]: small drift, turn and zoom about the middle of the frame."""
    if num_frames == 1:
        return np.eye(3)[None]
    shift = rng.uniform(*config.camera_shift) * side
    path = motion.keyed_curve(rng, num_frames, (-shift, -shift), (shift, shift), 14, 0.8)
    turn = rng.uniform(*config.camera_rotation)
    angle = motion.keyed_curve(rng, num_frames, -turn, turn, 16)[:, 0]
    zoom = 1 + motion.tremor(rng, num_frames, 1, 0.012, 40)[:, 0]
    middle = (side / 2, side / 2)
    return similarity(middle, np.array(middle) + path, angle, zoom)


def draw_path(rng, num_frames: int, side: int, margin: float, config) -> CameraPath:
    """Hand-held drift on top of the viewpoints of `_viewpoints`."""
    cuts = np.zeros(num_frames, bool)
    drift = hand_held(rng, num_frames, side, config)
    if config.view_frames[1] == 0:
        return CameraPath(drift, cuts)
    views = _viewpoints(rng, num_frames, side, margin, config, cuts)
    middle = np.array((side / 2, side / 2))
    turned = similarity((0, 0), np.broadcast_to(middle, (num_frames, 2)), views[:, 3], views[:, 2])
    centred = np.broadcast_to(np.eye(3), (num_frames, 3, 3)).copy()
    centred[:, :2, 2] = -(middle + views[:, :2])
    return CameraPath(drift @ turned @ centred, cuts)


def _viewpoints(rng, num_frames, side, margin, config, cuts) -> np.ndarray:
    """[T, 4]: shift x, y of what the frame's middle shows, zoom, angle; fills in `cuts`."""
    views = np.empty((num_frames, 4))
    now, time = _viewpoint(rng, side, margin, config), 0
    while time < num_frames:
        hold = int(rng.integers(config.view_frames[0], config.view_frames[1] + 1))
        views[time : time + hold] = now
        time += hold
        new = _viewpoint(rng, side, margin, config)
        if rng.random() < config.p_cut:
            if time < num_frames and time > 0:
                cuts[time] = True
        else:
            steps = int(rng.integers(14, 31))
            x = np.arange(1, steps + 1)[:, None] / (steps + 1)
            ease = x * x * (3 - 2 * x)
            passage = now * (1 - ease) + new * ease
            views[time : time + steps] = passage[: max(0, num_frames - time)]
            time += steps
        now = new
    return views


def _viewpoint(rng, side, margin, config) -> np.ndarray:
    """One view that stays within the world: shift x, y, zoom, angle."""
    zoom = noise.log_uniform(rng, config.view_zoom)
    angle = rng.uniform(*config.view_rotation)
    way = rng.uniform(0, 2 * np.pi)
    shift = rng.uniform(*config.view_shift) * side * np.array((np.cos(way), np.sin(way)))
    half = 0.5 * side * (abs(np.cos(angle)) + abs(np.sin(angle))) / zoom
    # Hand-held drift and breathing need a little of the border, too.
    room = max(0.0, 0.5 * side + margin - half - 0.06 * side)
    return np.array((*np.clip(shift, -room, room), zoom, angle))
