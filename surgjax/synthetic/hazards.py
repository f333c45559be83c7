"""Smoke, blood, fog, focus and exposure as they come and go in a clip.

Path:    lens, motion -> [hazards] -> effects
Axes:    image [S, S, 3] float32 RGB; one call per frame, in order.
Units:   time in frames; amounts as in lens.
Differs: a clip shorter than what happens in it shows a part of it; a single image is a moment
         drawn at random.
"""

import cv2
import numpy as np

from surgjax.synthetic import lens, motion, noise

_COARSE = 4  # smoke is soft: a quarter of the resolution is enough


class Plume:
    """Cautery smoke: bursts at one place, rises, spreads and thins out."""

    def __init__(self, rng, num_frames: int, side: int):
        self.side, self.small = side, max(8, side // _COARSE)
        n = self.small
        self.billows = noise.smoothstep(
            noise.fractal_noise(rng, 3 * n, n, rng.uniform(4, 9), 4, 0.55), -1.0, 1.9
        )
        source = rng.uniform((0.2, 0.35), (0.8, 0.95))
        way = rng.normal(0, 0.35)  # "up" is where the gas goes, not always up in the picture
        y, x = np.mgrid[0:n, 0:n].astype(np.float32) / n
        x, y = x - np.float32(source[0]), np.float32(source[1]) - y
        rise = y * np.float32(np.cos(way)) + x * np.float32(np.sin(way))
        across = x * np.float32(np.cos(way)) - y * np.float32(np.sin(way))
        wide = 0.05 + 0.45 * np.maximum(rise, 0)
        column = np.exp(-((across / wide) ** 2)) * noise.smoothstep(rise, -0.06, 0.05)
        self.column = (column * np.exp(-0.7 * np.maximum(rise, 0))).astype(np.float32)
        self.room = 0.35 * self.billows[:n]
        self.speed = rng.uniform(0.006, 0.02) * n * 1.4
        self.start = rng.integers(0, 2 * n)
        self.amount, self.spread = self._course(rng, num_frames)

    @staticmethod
    def _course(rng, num_frames: int):
        """[T] strength of the column, and of what has spread through the room by then."""
        time = np.arange(num_frames) + rng.uniform(0, 20) * (num_frames == 1)
        begin = rng.uniform(-10, 0.6 * num_frames) if num_frames > 1 else 0.0
        burn = rng.uniform(8, 30)
        since = time - begin
        ramp = np.clip(since / 5, 0, 1) * np.exp(-np.maximum(since - burn, 0) / 12)
        spread = np.clip(since / 40, 0, 1) * np.exp(-np.maximum(since - burn, 0) / 40)
        level = rng.uniform(0.35, 0.95)
        return level * ramp, level * rng.uniform(0.3, 0.8) * spread

    def __call__(self, image: np.ndarray, t: int) -> np.ndarray:
        if self.amount[t] < 0.01 and self.spread[t] < 0.01:
            return image
        n = self.small
        offset = int(self.start + self.speed * t) % (2 * n)
        billow = self.billows[offset : offset + n]
        share = self.amount[t] * self.column * billow + self.spread[t] * (self.room + 0.12)
        share = cv2.resize(np.minimum(share, 0.93), (self.side, self.side))
        return lens.add_smoke(image, share, 1.0)


class Film:
    """Blood or fog on the lens: comes, grows, is wiped."""

    def __init__(self, rng, num_frames: int, side: int, kind: str):
        field, self.add, worst = {
            "blood": (lens.blood_field, lens.add_blood, (0.15, 0.7)),
            "fog": (lens.fog_field, lens.add_fog, (0.2, 0.9)),
        }[kind]
        self.field = field(rng, side, side)
        time = np.arange(num_frames)
        worst = rng.uniform(*worst)
        begin = rng.uniform(-0.5, 0.6) * num_frames
        wiped = begin + rng.uniform(0.3, 1.2) * num_frames
        grow = rng.uniform(2, 6) if kind == "blood" else rng.uniform(8, 40)
        rising = np.clip((time - begin) / grow, 0, 1)
        gone = np.clip((time - wiped) / 3, 0, 1)
        self.amount = worst * rising * (1 - gone) if num_frames > 1 else np.array([worst])

    def __call__(self, image: np.ndarray, t: int) -> np.ndarray:
        return self.add(image, self.field, float(self.amount[t])) if self.amount[t] else image


class Focus:
    """A focus that is lost and found again: extra blur in pixels per frame."""

    def __init__(self, rng, num_frames: int, side: int):
        worst = noise.log_uniform(rng, (0.8, 4.0)) * side / 256
        course = motion.keyed_curve(rng, num_frames, 0.0, 1.0, rng.uniform(8, 24))[:, 0]
        self.radius = worst * np.clip(1.5 * course - 0.4, 0, 1)

    def __call__(self, image: np.ndarray, t: int) -> np.ndarray:
        return lens.blur_disc(image, float(self.radius[t]))


class AutoExposure:
    """The camera's own gain: follows the mean light with a lag, and so dips when steel comes in."""

    def __init__(self, rng):
        self.target = noise.log_uniform(rng, (0.30, 0.46))
        self.lag = rng.uniform(3, 10)  # frames
        self.most = rng.uniform(2.0, 4.0)
        self.gain: float | None = None

    def __call__(self, image: np.ndarray, t: int) -> np.ndarray:
        small = cv2.resize(image, None, fx=1 / 16, fy=1 / 16, interpolation=cv2.INTER_AREA)
        # Highlights count as white, no more; red counts most, as there is most of it.
        seen = float(np.minimum(small, 1.0).mean((0, 1)) @ np.array((0.5, 0.35, 0.15), np.float32))
        wanted = float(np.clip(self.target / (seen + 1e-3), 1 / self.most, self.most))
        if self.gain is None or t == 0:  # a second pass begins anew
            self.gain = wanted
        self.gain *= (wanted / self.gain) ** (1 / self.lag)
        return image * np.float32(self.gain)


class Hazards:
    """What of these a clip has; none of them draws anything where its probability is 0."""

    def __init__(self, rng, num_frames: int, side: int, config):
        def happens(probability: float) -> bool:
            return bool(probability) and rng.random() < probability

        self.exposure = AutoExposure(rng) if happens(config.p_auto_exposure) else None
        self.films: list[Plume | Focus | Film] = []
        self.films += [Plume(rng, num_frames, side)] if happens(config.p_plume) else []
        self.films += [Focus(rng, num_frames, side)] if happens(config.p_defocus) else []
        for kind, probability in (("blood", config.p_lens_blood), ("fog", config.p_lens_fog)):
            if happens(probability):
                self.films.append(Film(rng, num_frames, side, kind))

    def before_sensor(self, image: np.ndarray, t: int) -> np.ndarray:
        """The light of frame t after everything in its way."""
        if self.exposure is not None:
            image = self.exposure(image, t)
        if self.films:
            image = np.clip(image, 0, 1.6)  # a lamp's mirror image would shine through any film
        for film in self.films:
            image = film(image, t)
        return image
