"""Sheets of tissue laid over one another, back to front, before the lamp is lit.

Path:    surfaces, shading -> [ground] -> landscape, organs, wounds
Axes:    colour [H, W, 3] float32 RGB 0..1; relief, gloss, depth [H, W] float32.
Units:   relief in pixels of the canvas; positions are fractions of it, x right, y down, before the
         view is turned and mirrored; signed distances in pixels, positive inside.
"""

import dataclasses

import cv2
import numpy as np

from surgjax.synthetic import noise, shading, surfaces


@dataclasses.dataclass
class Seat:
    """A place made for an organ that carries a label: `name` is one of organs.ORGANS."""

    name: str
    x: float  # pixels of the canvas
    y: float
    angle: float
    length: float


class Ground:
    """The sheets laid so far, back to front, with colour, relief, gloss and depth."""

    def __init__(self, rng, height: int, width: int):
        self.height, self.width = height, width
        self.side = max(height, width)
        self.colour = np.zeros((height, width, 3), np.float32)
        self.relief = np.zeros((height, width), np.float32)
        self.gloss = np.ones((height, width), np.float32)
        self.depth = np.zeros((height, width), np.float32)
        turn, mirror = rng.normal(0, 0.35), rng.choice((-1, 1))
        y, x = np.mgrid[0:height, 0:width].astype(np.float32) / self.side
        x, y = x - 0.5 * width / self.side, y - 0.5 * height / self.side
        cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        self.x = mirror * (cosine * x + sine * y) + 0.5
        self.y = cosine * y - sine * x + 0.5
        self._turn, self._mirror = turn, mirror
        self.seats: list[Seat] = []
        self._skins: dict[str, surfaces.Skin] = {}
        self.lamp = shading.draw_lamp(rng, self.side, width, height)
        self.canvas = self.colour

    def seat(self, name: str, at, angle: float, length: float) -> None:
        """Notes a place for a labelled organ; `at` (x, y) is in fractions of the unturned view."""
        u, v = self._mirror * (at[0] - 0.5), at[1] - 0.5
        cosine, sine = np.cos(self._turn), np.sin(self._turn)
        px = (cosine * u - sine * v) * self.side + self.width / 2
        py = (sine * u + cosine * v) * self.side + self.height / 2
        way = np.arctan2(np.sin(angle), self._mirror * np.cos(angle)) + self._turn
        self.seats.append(Seat(name, px, py, way, length * self.side))

    def skin(self, rng, kind: str) -> surfaces.Skin:
        """The surface of one kind of tissue: mostly the same wherever it shows in one body."""
        if kind not in self._skins or rng.random() < 0.2:
            self._skins[kind] = surfaces.SKINS[kind](rng, self.height, self.width)
        return self._skins[kind]

    def cover(self, rng, kind: str, depth: float = 0.0) -> None:
        """One tissue everywhere, at some depth."""
        skin = self.skin(rng, kind)
        self.colour, self.relief = skin.colour.copy(), skin.relief.copy()
        self.gloss = skin.gloss.copy()
        self.depth[:] = depth

    def lay(self, rng, inside, kind: str, *, rim: float, depth=0.0, lift=1.0, soft=0.0) -> None:
        """Puts a sheet on top where `inside` (signed distance, pixels) is positive.

        Its border is rounded over `rim` (a fraction of the side) and keeps light from what is
        below, most in the cleft beside it. `soft` (a fraction of the side) lets it pass gradually
        into what is below, as torn tissue does.
        """
        skin = self.skin(rng, kind)
        if soft:
            share = noise.smoothstep(inside, -soft * self.side, soft * self.side)
        else:
            edge = 0.9 + self.side * noise.log_uniform(rng, (0.002, 0.03))
            share = noise.smoothstep(inside, -0.9, edge)
            self._shade(rng, inside)
        radius = max(rim * self.side, 1.5)
        x = np.clip(inside / radius, 0, 1)
        # Steep but never upright at its border: an upright one would be outlined in black.
        dome = lift * radius * (1 - cv2.pow(1 - x, rng.uniform(1.5, 2.1))) * rng.uniform(0.5, 0.9)
        relief = self._below() + dome + skin.relief
        self.colour += share[..., None] * (skin.colour - self.colour)
        self.relief += share * (relief - self.relief)
        self.gloss += share * (skin.gloss - self.gloss)
        self.depth += share * (depth - self.depth)

    def _below(self) -> np.ndarray:
        """The lie of the land on which a new sheet comes to rest: the relief without its detail."""
        small = cv2.resize(self.relief, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), 0.06 * self.side / 8)
        low = cv2.resize(small, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        return cv2.blur(cv2.blur(low, (9, 9)), (9, 9))

    def _shade(self, rng, inside) -> None:
        """Darkens and reddens the cleft beside a sheet, more on one side, in places not at all."""
        reach = noise.log_uniform(rng, (0.012, 0.08)) * self.side
        dark = np.exp(np.minimum(inside, 0) / reach)
        shift_x, shift_y = rng.normal(0, 0.35, 2) * reach
        move = np.array([[1, 0, shift_x], [0, 1, shift_y]], np.float32)
        size = (self.width, self.height)
        dark = cv2.warpAffine(dark, move, size, borderMode=cv2.BORDER_REPLICATE)
        uneven = noise.soft_noise(rng, self.height, self.width, rng.uniform(2, 5))
        dark *= rng.uniform(0.4, 0.85) * noise.smoothstep(uneven, -1.3, 0.8)
        self.colour *= 1 - dark[..., None] * np.array((0.75, 0.97, 0.95), np.float32)

    def dimming(self, side: int) -> np.ndarray:
        """[side, side]: the lamp's light in the frame, for what was not painted under it.

        Instruments come up towards the lens and so lose less light aside than the tissue does.
        """
        margin_y, margin_x = (self.height - side) // 2, (self.width - side) // 2
        _, _, _, bright = self.lamp.rays(self.height, self.width)
        seen = bright[margin_y : margin_y + side, margin_x : margin_x + side]
        return np.ascontiguousarray(0.15 + 0.85 * cv2.pow(seen, 0.8))

    def beyond(self, rng, x: float, y: float, angle: float, wave: float = 0.03) -> np.ndarray:
        """Signed distance past a wavy line through (x, y); positive to the side `angle` points."""
        nx, ny = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        away = (self.x - x) * nx + (self.y - y) * ny
        along = (self.y - y) * nx - (self.x - x) * ny
        away = away + np.float32(rng.normal(0, 0.35)) * along * along
        wobble = noise.soft_fractal(rng, self.height, self.width, rng.uniform(2, 4.5), 4, 0.42)
        return self.side * (away + wave * wobble)

    def blob(self, rng, at, axes, angle=0.0, wave=0.08) -> np.ndarray:
        """Signed distance, roughly, into a wavy ellipse about `at` with half-axes `axes`."""
        (x, y), (a, b) = at, axes
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        u = ((self.x - x) * cosine + (self.y - y) * sine) / a
        v = ((self.y - y) * cosine - (self.x - x) * sine) / b
        radius = np.sqrt(u * u + v * v)
        cells = rng.uniform(0.55, 1.1) / max(a, b)
        wobble = noise.soft_fractal(rng, self.height, self.width, cells, 4, 0.5)
        return self.side * min(a, b) * (1 - radius + wave * wobble)

    def tube(self, rng, points, radius: float, wave: float = 0.1) -> np.ndarray:
        """Signed distance into a tube along a smooth line through `points` (fractions)."""
        knots = np.asarray(points, float) + rng.normal(0, 0.02, (len(points), 2))
        t = np.linspace(0, len(knots) - 1, 40)
        line = np.stack([np.interp(t, np.arange(len(knots)), knots[:, i]) for i in (0, 1)], -1)
        for _ in range(3):  # rounds the corners
            line[1:-1] = (line[:-2] + 2 * line[1:-1] + line[2:]) / 4
        u, v = self._mirror * (line[:, 0] - 0.5), line[:, 1] - 0.5
        cosine, sine = np.cos(self._turn), np.sin(self._turn)
        pixel = np.stack([cosine * u - sine * v, sine * u + cosine * v], -1) * self.side
        pixel += (self.width / 2, self.height / 2)
        drawn = np.full((self.height, self.width), 255, np.uint8)
        cv2.polylines(drawn, [np.round(pixel * 16).astype(np.int32)], False, 0, 1, cv2.LINE_8, 4)
        away = cv2.distanceTransform(drawn, cv2.DIST_L2, 5)
        wobble = noise.soft_noise(rng, self.height, self.width, rng.uniform(4, 9))
        return radius * self.side * (1 + wave * wobble) - away
