"""One scene: what is in it, in what order, and how it is painted in a frame.

Path:    config -> tissue, anatomy, instruments -> [scene] -> compositor -> effects
Axes:    frames [S, S, 3] float32; labels and parts [S, S] uint8.
Units:   pixels of the frame; time in frames.
"""

import dataclasses

import cv2
import numpy as np

from surgjax.synthetic import (
    anatomy,
    camera,
    compositor,
    instruments,
    landscape,
    noise,
    operation,
    organs,
    props,
    tissue,
)
from surgjax.synthetic.instruments import Piece


@dataclasses.dataclass(frozen=True)
class Layer:
    """One piece as painted in one frame: alpha [h, w] uint8 with its corner at (x0, y0)."""

    index: int  # of the object in Scene.objects
    number: int  # of the piece in that object
    piece: Piece
    x0: int
    y0: int
    alpha: np.ndarray

    @property
    def area(self) -> tuple[slice, slice]:
        """Rows and columns of the frame that `alpha` stands for."""
        rows, columns = self.alpha.shape
        return slice(self.y0, self.y0 + rows), slice(self.x0, self.x0 + columns)


class Scene:
    """Everything drawn once for a clip; `render` is cheap."""

    def __init__(self, rng, num_frames: int, side: int, config):
        self.side, self.num_frames = side, num_frames
        rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
        self.grid = columns, rows  # x and y of every pixel
        strange = rng.random() < config.p_wild_scene
        config = config.replace(p_wild_colour=config.p_wild_colour if strange else 0.02)
        moving = num_frames > 1 or config.operation
        margin = int((operation.MARGIN if config.operation else 0.09) * side) if moving else 0
        size = side + 2 * margin
        self.ground = landscape.draw(rng, size, config) if config.layout else None
        if self.ground is None:
            self.canvas = tissue.background(rng, size, size, config)
        else:
            self.canvas = self.ground.canvas
        self.dim = None if self.ground is None else self.ground.dimming(side)
        view = camera.draw_path(rng, num_frames, side, margin, config)
        self.carry, self.cuts = view.matrices, view.cuts
        place = np.eye(3)
        place[:2, 2] = -margin
        self.canvas_matrices = self.carry @ place
        self.breath = self._breathing(rng, size, config) if moving else None
        phase, period = rng.uniform(0, 6.3), rng.uniform(20, 60)
        self.breath_phase = np.sin(2 * np.pi * np.arange(num_frames) / period + phase)
        light = rng.normal(0, 1, 2)
        self.shadow_way = light / (np.linalg.norm(light) + 1e-6)
        self.shadow_strength = rng.uniform(0.15, 0.9) * (rng.random() < config.p_shadow)
        self.shadow_softness = noise.log_uniform(rng, (0.004, 0.03)) * side
        self._maps: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.stage = None
        if config.operation:
            self.stage = operation.set_stage(rng, num_frames, side, config, self.carry, self.ground)
            self.objects = self.stage.objects
        else:
            self.objects = self._objects(rng, config)

    def _breathing(self, rng, size, config):
        amplitude = rng.uniform(*config.breathing) * self.side
        return [
            amplitude * noise.smooth_noise(rng, self.side, self.side, rng.uniform(1, 3))
            for _ in range(2)
        ]

    def _objects(self, rng, config):
        def count(bounds):
            return int(rng.integers(bounds[0], bounds[1] + 1))

        frames, side, carry = self.num_frames, self.side, self.carry
        below = []
        for _ in range(count(config.anatomy)):
            if self.ground is not None:
                below.append(organs.organ(rng, self.ground, frames, self.canvas_matrices, side))
                continue
            make = anatomy.organ if rng.random() < 0.75 else anatomy.duct
            below.append(make(rng, frames, side, config, carry))
        for _ in range(count(config.accessories)):
            if rng.random() < 0.5:
                if self.ground is None:
                    below.append(anatomy.accessory(rng, frames, side, config, carry))
                else:
                    below.append(props.accessory(rng, frames, side, carry))
        number = max(count(config.instruments), config.min_objects - len(below))
        above = []
        looks = instruments.draw_looks(rng, config)
        for _ in range(number):  # instruments of one set look alike, and are told apart by place
            own = looks if rng.random() < config.p_same_set else None
            above.append(instruments.instrument(rng, frames, side, config, own))
        if rng.random() < config.p_thread:
            maker = anatomy if self.ground is None else props
            above.insert(
                int(rng.integers(0, len(above) + 1)), maker.thread(rng, frames, side, carry)
            )
        objects = below + above
        if rng.random() < config.p_tissue_flap:
            if self.ground is None:
                objects.append(anatomy.flap(rng, frames, side, config, carry))
            else:
                matrices = self.canvas_matrices
                objects.append(organs.flap(rng, self.ground, frames, matrices, side))
        return objects

    def render(self, t: int, layers: list[Layer] | None = None):
        """(image, labels, parts) of frame t; label k is objects[k - 1], 0 where unlabelled.

        What was painted is added to `layers`, first painted first, if a list is given.
        """
        side = self.side
        image = self._tissue(t)
        labels = np.zeros((side, side), np.uint8)
        parts = np.zeros((side, side), np.uint8)
        for index, thing in enumerate(self.objects):
            warped = [
                (compositor.warp(p.sprite, p.matrices[t], side, self.stage is not None), p)
                for p in thing.pieces
            ]
            seen: list[tuple[tuple, Piece]] = [(w, p) for w, p in warped if w is not None]
            if not seen:
                continue
            painted = [w for w, _ in seen]
            if self.shadow_strength:
                shift = self.shadow_way * thing.height
                compositor.cast_shadow(
                    image, painted, shift, self.shadow_softness, self.shadow_strength
                )
            if self.dim is not None and thing.kind not in ("anatomy", "unlabelled"):
                compositor.dim(painted, self.dim)  # organs were painted under the lamp
            label = 0 if thing.kind == "unlabelled" else index + 1
            part_ids = [p.part for _, p in seen]
            compositor.paint(image, labels, parts, painted, label, part_ids)
            if layers is not None:
                for (x0, y0, _, alpha), piece in seen:
                    number = next(n for n, p in enumerate(thing.pieces) if p is piece)
                    layers.append(Layer(index, number, piece, x0, y0, alpha))
        return image, labels, parts

    def _tissue(self, t: int) -> np.ndarray:
        side = self.side
        if self.breath is None:
            return self.canvas[:side, :side].copy()
        map_x, map_y = self.canvas_map(t)
        return cv2.remap(
            self.canvas, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )

    def canvas_map(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Which canvas pixel each frame pixel shows: x and y, each [S, S] float32, not to change.

        The last two frames are kept: painting, depth and flow ask for the same ones.
        """
        if t not in self._maps:
            while len(self._maps) > 1:
                del self._maps[next(iter(self._maps))]
            self._maps[t] = self._draw_map(t)
        return self._maps[t]

    def _draw_map(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        inverse = np.linalg.inv(self.canvas_matrices[t])
        grid_x, grid_y = self.grid
        if self.breath is not None:
            grid_x = grid_x + np.float32(self.breath_phase[t]) * self.breath[0]
            grid_y = grid_y + np.float32(self.breath_phase[t]) * self.breath[1]
        map_x = inverse[0, 0] * grid_x + inverse[0, 1] * grid_y + inverse[0, 2]
        map_y = inverse[1, 0] * grid_x + inverse[1, 1] * grid_y + inverse[1, 2]
        return map_x.astype(np.float32), map_y.astype(np.float32)
