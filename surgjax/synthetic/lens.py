"""What gets between tissue and sensor: smoke, blood, glare, fog, too little light, a lost focus.

Path:    noise -> [lens] -> hazards (clips), robustness tests (single frames)
Axes:    frame [H, W, 3] RGB, uint8 in 0..255 or floating in 0..1; the answer has the same type.
Units:   severity 0..1: 0 gives back the frame itself, 1 is as bad as still usable recordings get.
Errors:  ValueError for a severity outside 0..1 or a frame that is not [H, W, 3].
Differs: every effect only draws from `rng`, in amounts that do not depend on `severity`: the same
         generator state gives the same cloud, drops or flare, weaker or stronger.
"""

import cv2
import numpy as np

from surgjax.synthetic import noise

SMOKE_TONE = np.array((0.74, 0.75, 0.78), np.float32)
FOG_TONE = np.array((0.66, 0.62, 0.62), np.float32)


def _open(frame: np.ndarray, severity: float) -> np.ndarray:
    """The frame as float32 in 0..1, a copy."""
    if frame.ndim != 3 or frame.shape[-1] != 3:
        raise ValueError(f"frame: expected [H, W, 3], found {frame.shape}.")
    if not 0.0 <= severity <= 1.0:
        raise ValueError(f"severity: expected 0..1, found {severity}.")
    if frame.dtype == np.uint8:
        return frame.astype(np.float32) / 255
    if not np.issubdtype(frame.dtype, np.floating):
        raise ValueError(f"frame: expected uint8 or floating, found {frame.dtype}.")
    return frame.astype(np.float32)


def _close(image: np.ndarray, frame: np.ndarray, severity: float) -> np.ndarray:
    if severity == 0:  # to the last bit
        return frame.copy()
    image = np.clip(image, 0, 1)
    if frame.dtype == np.uint8:
        return np.round(image * 255).astype(np.uint8)
    return image.astype(frame.dtype)


def smoke_field(rng, height: int, width: int) -> np.ndarray:
    """How thick cautery smoke hangs, [H, W] in 0..1: billows, thicker towards one place."""
    billows = noise.fractal_noise(rng, height, width, rng.uniform(1.5, 3.5), 4, 0.5)
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    at_x, at_y = rng.uniform(0.2, 0.8, 2)
    near = np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / 0.35).astype(np.float32)
    return 0.25 + 0.75 * noise.smoothstep(billows + 1.5 * near, -0.8, 2.6)


def blood_field(rng, height: int, width: int) -> np.ndarray:
    """Where blood would first cover the lens, [H, W] in 0..1, 1 first: drops and a smear."""
    side = max(height, width)
    field = np.zeros((height, width), np.float32)
    count = 26
    spots = rng.uniform(0, 1, (count, 2)) * (width, height)
    sizes = np.exp(rng.uniform(np.log(0.015), np.log(0.12), count)) * side
    ranks = rng.permutation(np.linspace(0.35, 1.0, count))
    for (x, y), size, rank in zip(spots, sizes, ranks, strict=True):
        drop = np.zeros_like(field)
        t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        radius = size * (
            1 + sum(rng.normal(0, 0.35) / k * np.cos(k * t + 6 * k) for k in (2, 3, 4))
        )
        rim = np.stack([x + radius * np.cos(t), y + radius * np.sin(t)], -1)
        cv2.fillPoly(drop, [np.round(rim * 16).astype(np.int32)], float(rank), cv2.LINE_AA, 4)
        np.maximum(field, drop, out=field)
    smear = noise.fractal_noise(rng, height, width, rng.uniform(2, 4), 4, 0.5)
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    way = rng.uniform(0, 2 * np.pi)
    border = x * np.cos(way) + y * np.sin(way)
    field = np.maximum(field, noise.smoothstep(smear + 1.6 * border.astype(np.float32), 0.9, 3.0))
    return cv2.GaussianBlur(field, (0, 0), 0.022 * side)


def fog_field(rng, height: int, width: int) -> np.ndarray:
    """How early a place on the lens mists over, [H, W] in 0..1: from the rim inwards."""
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    off_x, off_y = rng.normal(0, 0.2, 2)
    rim = np.clip(np.hypot(x - off_x, y - off_y) / 1.4, 0, 1).astype(np.float32)
    uneven = noise.fractal_noise(rng, height, width, rng.uniform(1.5, 3), 3, 0.5)
    return np.clip(0.15 + 0.85 * rim + 0.10 * uneven, 0, 1)


def add_smoke(image: np.ndarray, field: np.ndarray, amount: float) -> np.ndarray:
    """Veils a float image by field * amount."""
    share = (np.float32(amount) * field)[..., None]
    return image + share * (SMOKE_TONE - image)


def add_blood(image: np.ndarray, field: np.ndarray, amount: float) -> np.ndarray:
    """Covers the part of `field` above 1 - amount; light still comes through, red and soft."""
    share = noise.smoothstep(field, 1.0 - amount, 1.35 - amount)
    thick = (0.95 * min(1.0, 4 * amount) * share)[..., None]
    small = cv2.resize(image, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    behind = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    deep = (1 - 0.55 * share)[..., None]  # the more of it, the darker
    film = deep * (
        behind * np.array((0.85, 0.22, 0.18), np.float32) + np.array((0.05, 0.0, 0.0), np.float32)
    )
    return image + thick * (film - image)


def add_fog(image: np.ndarray, field: np.ndarray, amount: float) -> np.ndarray:
    """Blurs and greys a float image where amount has reached the field."""
    share = noise.smoothstep(field, 0.9 - 1.15 * amount, 1.7 - 1.15 * amount)[..., None]
    share = share * np.float32(min(1.0, 3 * amount))
    small = cv2.resize(image, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 1.2)
    soft = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    misty = 0.5 * soft + 0.5 * (0.35 * soft.mean() + 0.65 * FOG_TONE * np.float32(0.8))
    return image + 0.94 * share * (misty - image)


def smoke(frame: np.ndarray, severity: float, rng) -> np.ndarray:
    """Cautery smoke over the view: pale, billowing, contrast lost with it."""
    image = _open(frame, severity)
    field = smoke_field(rng, *frame.shape[:2])
    return _close(add_smoke(image, field, 0.9 * severity), frame, severity)


def blood(frame: np.ndarray, severity: float, rng) -> np.ndarray:
    """Blood on the lens: out-of-focus drops and a smear from one border."""
    image = _open(frame, severity)
    field = blood_field(rng, *frame.shape[:2])
    return _close(add_blood(image, field, 0.8 * severity), frame, severity)


def fog(frame: np.ndarray, severity: float, rng) -> np.ndarray:
    """Mist on a cold lens: soft and pale, from the rim inwards."""
    image = _open(frame, severity)
    field = fog_field(rng, *frame.shape[:2])
    return _close(add_fog(image, field, severity), frame, severity)


def glare(frame: np.ndarray, severity: float, rng) -> np.ndarray:
    """The lamp mirrored: highlights swell and clip, a wide flare veils the rest."""
    image = _open(frame, severity)
    height, width = frame.shape[:2]
    side = max(height, width)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    extra = np.zeros((height, width), np.float32)
    rough = noise.fractal_noise(rng, height, width, 18, 3, 0.6)
    for _ in range(5):
        at = rng.uniform(0.1, 0.9, 2) * (width, height)
        way, long = rng.uniform(0, np.pi), rng.uniform(0.03, 0.14) * side
        u = (x - at[0]) * np.cos(way) + (y - at[1]) * np.sin(way)
        v = (y - at[1]) * np.cos(way) - (x - at[0]) * np.sin(way)
        far = np.sqrt((u / long) ** 2 + (v / (0.45 * long)) ** 2).astype(np.float32)
        extra += 1.6 * noise.smoothstep(1.3 - far + 0.35 * rough, 0.2, 0.9)
        extra += 0.25 * np.exp(-0.3 * far)
    bright = np.clip(image.max(-1) - 0.45, 0, 1)
    swollen = cv2.GaussianBlur(bright, (0, 0), 0.02 * side)
    added = severity * (extra + 3.0 * swollen + 0.8 * bright)
    return _close(image + added[..., None], frame, severity)


def low_light(frame: np.ndarray, severity: float, rng) -> np.ndarray:
    """A weak or distant lamp: dark, darkest at the border, the sensor's noise in what is left."""
    image = _open(frame, severity)
    height, width = frame.shape[:2]
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    radius2 = (x * x + y * y).astype(np.float32)
    grain = rng.standard_normal((height, width, 3), dtype=np.float32)
    gain = (1 - 0.82 * severity) * (1 - 0.45 * severity * np.clip(radius2, 0, 1))
    dark = image * gain[..., None]
    shot = np.sqrt(np.maximum(dark, 0) * 0.004 + 0.00006)
    return _close(dark + severity * shot * grain, frame, severity)


def defocus(frame: np.ndarray, severity: float, rng) -> np.ndarray:
    """The whole view out of focus by a disc of up to 1/32 of the side."""
    image = _open(frame, severity)
    radius = severity * max(frame.shape[:2]) / 32 * rng.uniform(0.9, 1.1)
    return _close(blur_disc(image, radius), frame, severity)


def blur_disc(image: np.ndarray, radius: float) -> np.ndarray:
    """Blurs with an evenly lit disc, as an open iris does; under half a pixel it does nothing."""
    if radius < 0.5:
        return image
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)


EFFECTS = {
    "smoke": smoke,
    "blood": blood,
    "glare": glare,
    "fog": fog,
    "low_light": low_light,
    "defocus": defocus,
}
