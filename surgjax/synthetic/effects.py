"""What lamp, lens, sensor and recorder do to a picture.

Path:    compositor -> [effects] -> clip
Axes:    image [S, S, 3] float32 RGB -> uint8; labels [S, S] uint8 are blanked where the picture
         is, behind the rim of the scope, and by nothing else.
Units:   `_px` at the frame's own size; colours 0..1.
"""

import cv2
import numpy as np

from surgjax.synthetic import hazards, motion, noise, recorder


class Optics:
    """One camera for one clip: everything drawn once, then `develop` per frame."""

    def __init__(self, rng, num_frames: int, side: int, config):
        self.side = side
        grid_y, grid_x = np.mgrid[0:side, 0:side].astype(np.float32) / side - 0.5
        centre = rng.normal(0, 0.12, 2)
        radius2 = (grid_x - centre[0]) ** 2 + (grid_y - centre[1]) ** 2
        fall = rng.uniform(*config.vignette)
        field = (1 - fall * np.clip(radius2 / 0.5, 0, 1) ** rng.uniform(0.6, 1.3))[..., None]
        balance = rng.normal(0, config.white_balance, 3) + np.array(config.white_shift)
        balance = np.exp(balance).astype(np.float32)
        self.gain = (field * balance).astype(np.float32)
        exposure = noise.log_uniform(rng, config.exposure)
        flicker = motion.tremor(rng, num_frames, 1, 0.02, 20)[:, 0] * (num_frames > 1)
        self.exposure = exposure * np.exp(flicker)
        self.gamma = noise.log_uniform(rng, config.gamma)
        saturation = rng.uniform(*config.saturation)
        self.mix = (saturation * np.eye(3) + (1 - saturation) / 3).astype(np.float32)
        self.smoke = self._smoke(rng, side) if rng.random() < config.p_smoke else None
        self.smoke_drift = rng.normal(0, 0.01 * side, 2)
        self.smoke_level = rng.uniform(0.1, 0.6)
        self.smoke_swell = 1 + motion.tremor(rng, num_frames, 1, 0.15, 25)[:, 0]
        self.bloom = rng.uniform(0, 0.5) if rng.random() < 0.5 else 0.0
        self.blur_px = rng.uniform(*config.blur_px) * side / 256
        self.streak = self._streak(rng, side) if rng.random() < config.p_motion_blur else None
        self.noise_level = rng.uniform(*config.noise) * (rng.random() < 0.8)
        self.grain = rng.standard_normal((side + 32, side + 32, 3), dtype=np.float32)
        if rng.random() < 0.5:
            self.grain = cv2.GaussianBlur(self.grain, (0, 0), 0.7) * 1.8
        if rng.random() < 0.5:
            self.grain[:] = self.grain.mean(-1, keepdims=True) * 1.5
        self.grain_at = rng.integers(0, 32, (num_frames, 2))
        low, high = config.jpeg_quality
        self.quality = int(rng.integers(low, high + 1)) if rng.random() < config.p_jpeg else None
        self.rim = None
        if rng.random() < config.p_bars:  # unlit columns and rows, as recorders leave them
            bars = (rng.uniform(0, 0.05, 4) * rng.integers(0, 2, 4) * side).astype(int)
            self.rim = np.zeros((side, side), np.float32)
            self.rim[bars[0] : side - bars[1], bars[2] : side - bars[3]] = 1
        if rng.random() < config.p_scope_circle:
            size, offset = rng.uniform(0.42, 0.66), rng.normal(0, 0.03, 2)
            far = np.sqrt((grid_x - offset[0]) ** 2 + (grid_y - offset[1]) ** 2)
            self.rim = np.clip((size - far) * side / 1.5 + 0.5, 0, 1)
        self.hazards = hazards.Hazards(rng, num_frames, side, config)
        self._recorder(rng, num_frames, config)

    def _recorder(self, rng, num_frames: int, config) -> None:
        def happens(probability: float) -> bool:
            return bool(probability) and rng.random() < probability

        self.shift_xy = None  # of the picture per frame, [T, 2]; see `follow`
        self.shutter = rng.uniform(0.25, 0.9) if happens(config.p_shutter_blur) else 0.0
        self.interlaced = happens(config.p_interlace)
        self.previous: np.ndarray | None = None
        self.chroma = int(rng.integers(2, 5)) if happens(config.p_thin_colour) else 1
        self.quality_course = np.zeros(num_frames)
        if happens(config.p_quality_drift):
            self.quality_course = motion.keyed_curve(rng, num_frames, -20, 5, 12)[:, 0]

    def follow(self, camera: np.ndarray, cuts: np.ndarray) -> None:
        """Lets the shutter see how the camera moves; [T, 3, 3], still picture to frame.

        A cut ([T] bool) is no movement.
        """
        middle = camera @ np.array([self.side / 2, self.side / 2, 1.0])
        middle = middle[:, :2] / middle[:, 2:]
        self.shift_xy = np.where(cuts[:, None], 0, np.diff(middle, axis=0, prepend=middle[:1]))

    @staticmethod
    def _smoke(rng, side):
        haze = noise.fractal_noise(rng, side, side, rng.uniform(1.5, 4), 3, 0.5)
        return noise.smoothstep(haze, -1.2, 1.8)

    @staticmethod
    def _streak(rng, side):
        reach = max(3, int(rng.uniform(2, 8) * side / 256)) | 1
        kernel = np.zeros((reach, reach), np.float32)
        angle = rng.uniform(0, np.pi)
        half = reach // 2
        end = np.round(np.array([np.cos(angle), np.sin(angle)]) * half).astype(int)
        cv2.line(kernel, tuple(half - end), tuple(half + end), 1.0, 1)
        return kernel / kernel.sum()

    def develop(self, image: np.ndarray, labels: np.ndarray, parts: np.ndarray, t: int):
        """Light to recorded picture, uint8; labels and parts are blanked behind the rim."""
        side = self.side
        image = image * (self.gain * np.float32(self.exposure[t]))
        if self.smoke is not None:
            drift_x, drift_y = self.smoke_drift * t
            move = np.array([[1, 0, drift_x], [0, 1, drift_y]], np.float32)
            haze = cv2.warpAffine(self.smoke, move, (side, side), borderMode=cv2.BORDER_REFLECT)
            haze = haze * np.float32(self.smoke_level * max(self.smoke_swell[t], 0.2))
            image += haze[..., None] * (0.75 - image)
        image = self.hazards.before_sensor(image, t)
        if self.shutter and self.shift_xy is not None:
            image = recorder.shutter_blur(image, self.shift_xy[t], self.shutter)
        if self.bloom:
            small = cv2.resize(image, (side // 4, side // 4), interpolation=cv2.INTER_AREA)
            glow = cv2.GaussianBlur(np.maximum(small - 0.8, 0), (0, 0), side / 80)
            image += self.bloom * cv2.resize(glow, (side, side))
        image = cv2.transform(image, self.mix)
        image = cv2.pow(np.clip(image, 0, 1), self.gamma)
        if self.streak is not None:
            image = cv2.filter2D(image, -1, self.streak)
        image = cv2.GaussianBlur(image, (0, 0), self.blur_px)
        if self.noise_level:
            y, x = self.grain_at[t]
            image += self.noise_level * self.grain[y : y + side, x : x + side]
        if self.rim is not None:
            image *= self.rim[..., None]
            labels[self.rim < 0.5] = 0
            parts[self.rim < 0.5] = 0
        picture = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
        picture = recorder.subsample_chroma(picture, self.chroma)
        if self.interlaced:
            before = self.previous if t else None  # a second pass begins anew
            picture, self.previous = recorder.interlace(picture, before), picture
        if self.quality is not None:
            quality = int(np.clip(self.quality + self.quality_course[t], 30, 95))
            picture = _recompress(picture, quality)
        return picture


def _recompress(picture: np.ndarray, quality: int) -> np.ndarray:
    fine, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not fine:
        raise RuntimeError(f"OpenCV could not write a JPEG of {picture.shape} at {quality}.")
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if decoded is None:
        raise RuntimeError(f"OpenCV could not read back its own JPEG of {picture.shape}.")
    return np.ascontiguousarray(decoded[..., ::-1])
