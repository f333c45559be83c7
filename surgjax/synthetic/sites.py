"""Hospitals: each site has its own camera, recorder, light and favourite instruments.

Path:    config -> [sites] -> clip; experiments over several sites
Units:   as SceneConfig. A site narrows the ranges of a config and never leaves them, but for
         `white_shift`, `detail` and `favourite_kinds`, which only sites set.
Errors:  ValueError for a negative site.
Differs: sites are invented; no hospital's pictures were looked at.
"""

import numpy as np

from surgjax.synthetic import jaws
from surgjax.synthetic.config import Range, SceneConfig

_SALT = 74
_SHARE = 0.15  # of a range is what one site uses of it


def site_config(config: SceneConfig, site: int) -> SceneConfig:
    """What scenes look like at a site: the same site, the same style, whatever the seed."""
    if site < 0:
        raise ValueError(f"site: expected 0 or more, found {site}.")
    rng = np.random.default_rng((_SALT, site))

    def part(bounds: Range) -> Range:
        width = (bounds[1] - bounds[0]) * _SHARE
        low = float(rng.uniform(bounds[0], bounds[1] - width))
        return low, low + width

    low, high = config.jpeg_quality
    quality = int(rng.integers(low, high + 1))
    detail = float(rng.uniform(0.45, 1.0))
    return config.replace(
        exposure=part(config.exposure),
        gamma=part(config.gamma),
        vignette=part(config.vignette),
        noise=part(config.noise),
        blur_px=part(config.blur_px),
        tissue_gloss=part(config.tissue_gloss),
        p_scope_circle=float(rng.random() < 0.3),
        p_bars=float(rng.random() < 0.25),
        p_jpeg=float(rng.random() < 0.7),
        jpeg_quality=(quality, quality),
        white_balance=0.25 * config.white_balance,
        white_shift=tuple(float(gain) for gain in rng.normal(0, 0.14, 3)),
        detail=(detail, min(1.0, detail + 0.05)),
        favourite_kinds=tuple(str(k) for k in rng.choice(jaws.KINDS, 3, replace=False)),
    )
