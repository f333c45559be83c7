"""Snow, frost, fog, glaring light and spatter, as photographs of the outside have them.

Path:    fields, frost -> [weather] -> corruptions
Axes:    image [H, W, 3] float64; the answer has the same shape and may leave 0..1.
Units:   image in 0..1; layers are drawn for a short side of 224 and enlarged by `scale`.
Errors:  none of their own.
Source:  arXiv:1903.12261 (ImageNet-C), constants of its released code.
Differs: the frost is drawn, not photographed (see frost); motion as in blurs.
"""

import cv2
import numpy as np

from surgjax.robustness import fields
from surgjax.robustness.frost import frost_pane

SNOW = (  # mean, deviation, flake size, threshold, motion radius, motion sigma, share of picture
    (0.1, 0.3, 3.0, 0.5, 10, 4, 0.8),
    (0.2, 0.3, 2.0, 0.5, 12, 4, 0.7),
    (0.55, 0.3, 4.0, 0.9, 12, 8, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
)
FROST = ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))  # of picture, of frost
FOG = ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))  # thickness, roughness of the clouds
BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)  # added to the brightest channel
SPATTER = (  # mean, deviation, sigma, threshold, strength (water) or sigma (mud), which of the two
    (0.65, 0.3, 4, 0.69, 0.6, "water"),
    (0.65, 0.3, 3, 0.68, 0.6, "water"),
    (0.65, 0.3, 2, 0.68, 0.5, "water"),
    (0.65, 0.3, 1, 0.65, 1.5, "mud"),
    (0.67, 0.4, 1, 0.65, 1.5, "mud"),
)
WATER = np.array((175, 238, 238)) / 255  # pale turquoise
MUD = np.array((63, 42, 20)) / 255


def snow(image: np.ndarray, level: tuple, rng, scale: float) -> np.ndarray:
    """Streaks of snow from two sides, and a whitened picture behind them."""
    mean, deviation, flake, threshold, radius, sigma, share = level
    height, width = image.shape[:2]
    layer = rng.standard_normal(fields.layer_shape(height, width, scale))
    angle = np.deg2rad(rng.uniform(-135, -45))
    flakes = fields.central_zoom(mean + deviation * layer, flake)
    flakes = np.clip(np.where(flakes < threshold, 0.0, flakes), 0, 1)
    streaks = fields.fit(fields.motion_blur(flakes, radius, sigma, angle), height, width)
    grey = image @ np.array((0.299, 0.587, 0.114))
    white = np.maximum(image, (1.5 * grey + 0.5)[..., None])
    return share * image + (1 - share) * white + (streaks + streaks[::-1, ::-1])[..., None]


def frost(image: np.ndarray, level: tuple, rng, scale: float) -> np.ndarray:
    """Seen through a frozen window."""
    height, width = image.shape[:2]
    pane = frost_pane(rng, *fields.layer_shape(height, width, scale))
    return level[0] * image + level[1] * fields.fit(pane, height, width)


def fog(image: np.ndarray, level: tuple, rng, scale: float) -> np.ndarray:
    """Clouds in front of everything; the brightest place keeps its brightness."""
    thick, roughness = level
    height, width = image.shape[:2]
    clouds = fields.plasma(rng, *fields.layer_shape(height, width, scale), roughness)
    brightest = image.max()
    veiled = image + thick * fields.fit(clouds, height, width)[..., None]
    return veiled * brightest / (brightest + thick)


def brightness(image: np.ndarray, level: float, rng, scale: float) -> np.ndarray:
    """More light at the same hue and saturation: the value of HSV goes up."""
    value = image.max(-1, keepdims=True)
    brighter = np.clip(value + level, 0, 1)
    return np.where(value == 0, brighter, image * brighter / np.where(value == 0, 1.0, value))


def _water(liquid: np.ndarray) -> np.ndarray:
    """Where drops catch the light: their rims, embossed; 0..1."""
    drops = (np.clip(liquid, 0, 1) * 255).astype(np.uint8)
    apart = cv2.distanceTransform(255 - cv2.Canny(drops, 50, 150), cv2.DIST_L2, 5)
    rims = cv2.blur(np.minimum(apart, 20), (3, 3)).astype(np.uint8)
    emboss = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    rims = cv2.blur(cv2.filter2D(cv2.equalizeHist(rims), cv2.CV_8U, emboss), (3, 3))
    light = drops * rims.astype(np.float64)
    return light / max(light.max(), 1.0)


def spatter(image: np.ndarray, level: tuple, rng, scale: float) -> np.ndarray:
    """Drops of water (levels 1 to 3) or mud (4, 5) on the lens."""
    mean, deviation, sigma, threshold, last, kind = level
    height, width = image.shape[:2]
    noise = rng.standard_normal(fields.layer_shape(height, width, scale))
    liquid = fields.gaussian_blur(mean + deviation * noise, sigma)
    liquid = np.where(liquid < threshold, 0.0, liquid)
    if kind == "water":
        cover = fields.fit(last * _water(liquid), height, width)
        return image + cover[..., None] * WATER
    cover = fields.gaussian_blur((liquid > threshold).astype(np.float64), last)
    cover = fields.fit(np.where(cover < 0.8, 0.0, cover), height, width)[..., None]
    return (1 - cover) * image + cover * MUD
