"""One scene: what is in it, in what order, and how it is painted in a frame.

Path:    config -> tissue, anatomy, instruments -> [scene] -> compositor -> effects
Axes:    frames [S, S, 3] float32; labels and parts [S, S] uint8.
Units:   pixels of the frame; time in frames.
"""

import cv2
import numpy as np

from surgjax.synthetic import (
    anatomy,
    compositor,
    instruments,
    landscape,
    motion,
    noise,
    organs,
    props,
    tissue,
)
from surgjax.synthetic.instruments import Piece


class Scene:
    """Everything drawn once for a clip; `render` is cheap."""

    def __init__(self, rng, num_frames: int, side: int, config):
        self.side, self.num_frames = side, num_frames
        strange = rng.random() < config.p_wild_scene
        config = config.replace(p_wild_colour=config.p_wild_colour if strange else 0.02)
        moving = num_frames > 1
        margin = int(0.09 * side) if moving else 0
        size = side + 2 * margin
        self.ground = landscape.draw(rng, size, config) if config.layout else None
        if self.ground is None:
            self.canvas = tissue.background(rng, size, size, config)
        else:
            self.canvas = self.ground.canvas
        self.dim = None if self.ground is None else self.ground.dimming(side)
        self.carry = self._camera(rng, num_frames, side, config)
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
        self.objects = self._objects(rng, config)

    @staticmethod
    def _camera(rng, num_frames, side, config) -> np.ndarray:
        if num_frames == 1:
            return np.eye(3)[None]
        shift = rng.uniform(*config.camera_shift) * side
        path = motion.keyed_curve(rng, num_frames, (-shift, -shift), (shift, shift), 14, 0.8)
        turn = rng.uniform(*config.camera_rotation)
        angle = motion.keyed_curve(rng, num_frames, -turn, turn, 16)[:, 0]
        zoom = 1 + motion.tremor(rng, num_frames, 1, 0.012, 40)[:, 0]
        middle = (side / 2, side / 2)
        return instruments.similarity(middle, np.array(middle) + path, angle, zoom)

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

    def render(self, t: int):
        """(image, labels, parts) of frame t; label k is objects[k - 1], 0 where unlabelled."""
        side = self.side
        image = self._tissue(t)
        labels = np.zeros((side, side), np.uint8)
        parts = np.zeros((side, side), np.uint8)
        for index, thing in enumerate(self.objects):
            warped = [(compositor.warp(p.sprite, p.matrices[t], side), p) for p in thing.pieces]
            seen: list[tuple[tuple, Piece]] = [(w, p) for w, p in warped if w is not None]
            if not seen:
                continue
            layers = [w for w, _ in seen]
            if self.shadow_strength:
                shift = self.shadow_way * thing.height
                compositor.cast_shadow(
                    image, layers, shift, self.shadow_softness, self.shadow_strength
                )
            if self.dim is not None and thing.kind not in ("anatomy", "unlabelled"):
                compositor.dim(layers, self.dim)  # organs were painted under the lamp
            label = 0 if thing.kind == "unlabelled" else index + 1
            part_ids = [p.part for _, p in seen]
            compositor.paint(image, labels, parts, layers, label, part_ids)
        return image, labels, parts

    def _tissue(self, t: int) -> np.ndarray:
        side = self.side
        if self.breath is None:
            return self.canvas[:side, :side].copy()
        inverse = np.linalg.inv(self.canvas_matrices[t])
        grid_y, grid_x = np.mgrid[0:side, 0:side].astype(np.float32)
        grid_x += np.float32(self.breath_phase[t]) * self.breath[0]
        grid_y += np.float32(self.breath_phase[t]) * self.breath[1]
        map_x = inverse[0, 0] * grid_x + inverse[0, 1] * grid_y + inverse[0, 2]
        map_y = inverse[1, 0] * grid_x + inverse[1, 1] * grid_y + inverse[1, 2]
        return cv2.remap(
            self.canvas,
            map_x.astype(np.float32),
            map_y.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
