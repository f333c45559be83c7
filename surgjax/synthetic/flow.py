"""Optical flow from the motion that painted the frames: exact, not estimated.

Path:    scene -> [flow] -> stream
Axes:    flow [S, S, 2] float32 (x, y); valid and owner maps [S, S]; owner 0 is tissue, k + 1 the
         k-th piece of the scene, RIM what the scope's rim hides.
Units:   pixels from frame t to t + 1: what is at p in frame t is at p + flow[p] in frame t + 1.
Differs: flow follows surfaces, unlabelled ones too; shadows, highlights, smoke and noise move
         otherwise and are no part of it.
"""

import cv2
import numpy as np

from surgjax.synthetic.scene import Layer, Scene

RIM = np.iinfo(np.uint16).max
_ROUNDS = 4  # of the fixed-point iteration; breathing changes little from pixel to pixel


def owner_map(scene: Scene, layers: list[Layer], rim: np.ndarray | None) -> np.ndarray:
    """Which piece each pixel shows, [S, S] uint16. `rim` is 0 where the scope hides the picture."""
    starts = np.cumsum([0] + [len(thing.pieces) for thing in scene.objects])
    owner = np.zeros((scene.side, scene.side), np.uint16)
    for layer in layers:
        owner[layer.area][layer.alpha > 127] = 1 + starts[layer.index] + layer.number
    if rim is not None:
        owner[rim < 0.5] = RIM
    return owner


def forward(scene: Scene, t: int, owner: np.ndarray, next_owner: np.ndarray):
    """(flow, valid) from frame t to t + 1, given who owns the pixels of both.

    Flow is given wherever there is a surface, also where it ends up hidden or out of view; `valid`
    says that the same piece is in sight at both ends. Over a cut flow is 0 and nowhere valid.
    """
    side = scene.side
    if scene.cuts[t + 1]:
        return np.zeros((side, side, 2), np.float32), np.zeros((side, side), bool)
    flow, inside = _of_tissue(scene, t)
    pieces = [piece for thing in scene.objects for piece in thing.pieces]
    for number in np.flatnonzero(np.bincount(owner.ravel())[1 : len(pieces) + 1]) + 1:
        matrices = pieces[number - 1].matrices
        step = matrices[t + 1] @ np.linalg.inv(matrices[t])
        rows, columns = np.nonzero(owner == number)
        points = np.stack([columns, rows, np.ones(len(rows))], -1)
        moved = points @ step.T
        flow[rows, columns] = moved[:, :2] / moved[:, 2:] - points[:, :2]
    flow[owner == RIM] = 0
    grid_x, grid_y = scene.grid
    x, y = np.rint(grid_x + flow[..., 0]).astype(int), np.rint(grid_y + flow[..., 1]).astype(int)
    valid = (x >= 0) & (x < side) & (y >= 0) & (y < side) & (owner != RIM)
    valid &= next_owner[y.clip(0, side - 1), x.clip(0, side - 1)] == owner
    return flow, valid & (inside | (owner != 0))


def _of_tissue(scene: Scene, t: int):
    """Flow of the canvas, and where it is no mirror image of itself from beyond its border."""
    map_x, map_y = scene.canvas_map(t)
    height, width = scene.canvas.shape[:2]
    inside = (map_x >= 0) & (map_x <= width - 1) & (map_y >= 0) & (map_y <= height - 1)
    matrix = scene.canvas_matrices[t + 1].astype(np.float32)
    still_x = matrix[0, 0] * map_x + matrix[0, 1] * map_y + matrix[0, 2]
    still_y = matrix[1, 0] * map_x + matrix[1, 1] * map_y + matrix[1, 2]
    x, y = still_x, still_y
    if scene.breath is not None:  # solves x + level * breath(x) = still_x
        breath = np.float32(scene.breath_phase[t + 1]) * np.stack(scene.breath, -1)
        for _ in range(_ROUNDS):
            push = cv2.remap(breath, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            x, y = still_x - push[..., 0], still_y - push[..., 1]
    grid_x, grid_y = scene.grid
    return np.stack([x - grid_x, y - grid_y], -1), inside
