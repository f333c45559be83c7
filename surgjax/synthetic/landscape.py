"""Whole views of a body cavity: which organ lies where, over what, and lit by one lamp.

Path:    ground, wounds, shading -> [landscape] -> scene -> compositor
Axes:    canvas [H, W, 3] float32 RGB, 0..1 with highlights above 1.
Units:   pixels of the canvas; positions are fractions of it, x right, y down, before the view is
         turned and mirrored.
Errors:  ValueError for a layout that is not in LAYOUTS.
Differs: arrangements follow what a surgeon sees in the operation they are named after; nothing is
         measured from recordings.
"""

import numpy as np

from surgjax.synthetic import capillaries, noise, shading, wounds
from surgjax.synthetic.ground import Ground


def _veil(rng, ground: Ground) -> None:
    """The lining that runs over everything alike: a common tint, vessels that heed no border."""
    height, width = ground.height, ground.width
    field = noise.soft_fractal(rng, height, width, rng.uniform(1.5, 4), 3, 0.5)
    share = rng.uniform(0.2, 0.75) * noise.smoothstep(field, -0.3, 1.3)
    skin = ground.skin(rng, rng.choice(("peritoneum", "serosa", "fascia"), p=(0.65, 0.27, 0.08)))
    ground.colour += share[..., None] * (skin.colour - ground.colour)
    ground.relief += 0.7 * share * (skin.relief - ground.relief)
    if rng.random() < 0.6:
        cover = capillaries.trees(
            rng, height, width, int(rng.integers(1, 4)), rng.uniform(0.7, 1.5)
        )
        tone = np.array((0.48, 0.06, 0.09), np.float32)
        ground.colour += (rng.uniform(0.3, 0.7) * cover)[..., None] * (tone - ground.colour)


def _cholecystectomy(rng, ground: Ground) -> None:
    """Under the liver: its edge above, fat and duodenum below, the gallbladder between."""
    kind = rng.choice(("bed", "fascia", "peritoneum"), p=(0.4, 0.12, 0.48))
    ground.cover(rng, kind, rng.uniform(0.1, 0.5))
    edge = rng.uniform(0.30, 0.55)
    if rng.random() < 0.7:
        right = ground.beyond(rng, rng.uniform(0.65, 0.9), 0.6, rng.normal(0.3, 0.3))
        ground.lay(rng, right, "serosa", rim=rng.uniform(0.1, 0.25), depth=rng.uniform(0, 0.2))
    low = ground.beyond(rng, 0.4, rng.uniform(0.6, 0.85), np.pi / 2 + rng.normal(0, 0.35), 0.045)
    ground.lay(rng, low, "fat", rim=rng.uniform(0.05, 0.16))
    if rng.random() < 0.5:
        bed = ground.blob(rng, (rng.uniform(0.35, 0.65), edge + 0.15), (0.24, 0.15), 0, 0.35)
        ground.lay(rng, bed, "bed", rim=0.03, lift=-0.6, soft=rng.uniform(0.02, 0.07))
    high = ground.beyond(rng, 0.5, edge, -np.pi / 2 + rng.normal(0, 0.25), 0.012)
    ground.lay(rng, high, "liver", rim=rng.uniform(0.05, 0.3), depth=rng.uniform(0, 0.15))
    way = np.pi / 2 + rng.normal(0, 0.5)
    at = (rng.uniform(0.3, 0.7), edge + 0.06)
    ground.seat("gallbladder", at, way, rng.uniform(0.28, 0.5))


def _nephrectomy(rng, ground: Ground) -> None:
    """Retroperitoneum: lined wall behind, folds of bowel and fat in front, a kidney."""
    ground.cover(rng, rng.choice(("peritoneum", "fascia", "muscle"), p=(0.84, 0.06, 0.1)), 0.15)
    if rng.random() < 0.5:
        side = ground.beyond(rng, rng.uniform(0.05, 0.3), 0.5, np.pi + rng.normal(0, 0.4))
        ground.lay(rng, side, rng.choice(("liver", "serosa")), rim=rng.uniform(0.1, 0.3))
    low = ground.beyond(rng, 0.5, rng.uniform(0.5, 0.8), np.pi / 2 + rng.normal(0, 0.35), 0.06)
    kind = rng.choice(("folds", "fat"), p=(0.68, 0.32))
    ground.lay(rng, low, kind, rim=rng.uniform(0.08, 0.2))
    if rng.random() < 0.4:
        patch = ground.blob(rng, rng.uniform(0.3, 0.7, 2), (0.28, 0.15), rng.uniform(0, 3), 0.35)
        ground.lay(rng, patch, "bed", rim=0.03, lift=-0.6, soft=rng.uniform(0.02, 0.07))
    ground.seat("kidney", rng.uniform(0.3, 0.7, 2), rng.uniform(0, 6.3), rng.uniform(0.35, 0.6))


def _pelvis(rng, ground: Ground) -> None:
    """Pelvic floor: folds of peritoneum towards a deep middle, a smooth dome, bowel below."""
    kind = rng.choice(("peritoneum", "fascia"), p=(0.85, 0.15))
    ground.cover(rng, kind, rng.uniform(0.3, 0.8))
    for way in rng.permutation((np.pi, 0.0))[: int(rng.integers(1, 3))]:
        x = 0.5 + 0.5 * np.cos(way) * rng.uniform(0.5, 0.85)
        fold = ground.beyond(rng, x, 0.5, way + rng.normal(0, 0.35), 0.03)
        kind = rng.choice(("peritoneum", "serosa"))
        ground.lay(rng, fold, kind, rim=rng.uniform(0.08, 0.25), depth=rng.uniform(0.05, 0.3))
    at = rng.uniform((0.35, 0.25), (0.65, 0.5))
    dome = ground.blob(rng, at, rng.uniform((0.2, 0.16), (0.34, 0.28)), 0, 0.10)
    ground.lay(rng, dome, "serosa", rim=rng.uniform(0.15, 0.3), lift=rng.uniform(0.5, 1))
    low = ground.beyond(rng, 0.5, rng.uniform(0.7, 0.92), np.pi / 2 + rng.normal(0, 0.3), 0.05)
    ground.lay(rng, low, rng.choice(("folds", "fat", "serosa")), rim=rng.uniform(0.06, 0.16))
    at = (rng.uniform(0.25, 0.75), 0.75)
    ground.seat("bowel", at, rng.normal(0, 0.5), rng.uniform(0.3, 0.5))


def _bowel(rng, ground: Ground) -> None:
    """Loops of bowel on their mesentery."""
    kind = rng.choice(("fat", "peritoneum", "fascia"), p=(0.45, 0.45, 0.1))
    ground.cover(rng, kind, rng.uniform(0.1, 0.4))
    for _ in range(int(rng.integers(2, 5))):
        y = rng.uniform(0, 1.0)
        line = [(x, y + rng.normal(0, 0.12)) for x in (-0.3, 0.1, 0.5, 0.9, 1.3)]
        radius = rng.uniform(0.07, 0.15)
        ground.lay(rng, ground.tube(rng, line, radius), "serosa", rim=radius, lift=0.9)
    if rng.random() < 0.6:
        low = ground.beyond(rng, 0.5, rng.uniform(0.75, 0.95), np.pi / 2 + rng.normal(0, 0.5), 0.05)
        ground.lay(rng, low, "fat", rim=0.1)
    ground.seat("bowel", rng.uniform(0.3, 0.7, 2), rng.uniform(0, 6.3), rng.uniform(0.3, 0.5))


def _dissection(rng, ground: Ground) -> None:
    """Close up: a torn, bloody cavity under a veil of peritoneum, crossed by a duct."""
    ground.cover(rng, "bed", rng.uniform(0.15, 0.5))
    for _ in range(int(rng.integers(0, 3))):  # structures freed of what held them
        x = rng.uniform(0.1, 0.9)
        lean = rng.normal(0, 0.35)  # from under the veil above to beyond the border below
        line = [(x - lean, -0.2), (x + rng.normal(0, 0.07), 0.5), (x + lean, 1.3)]
        radius = noise.log_uniform(rng, (0.015, 0.07))
        kind = rng.choice(("serosa", "fascia", "peritoneum"))
        ground.lay(rng, ground.tube(rng, line, radius, 0.2), kind, rim=radius)
    high = ground.beyond(rng, 0.5, rng.uniform(0.25, 0.5), -np.pi / 2 + rng.normal(0, 0.3), 0.07)
    frayed = noise.soft_noise(rng, ground.height, ground.width, rng.uniform(5, 12))
    rind = high + ground.side * (0.015 + 0.02 * frayed)  # the cut border of the veil: pale, torn
    ground.lay(rng, rind, "fascia", rim=0.015)
    ground.lay(rng, high, "peritoneum", rim=0.03, lift=0.6)
    if rng.random() < 0.75:
        way = rng.uniform(0.2, 2.9)
        corner = ground.beyond(rng, 0.5 + 0.35 * np.cos(way), 0.5 + 0.35 * np.sin(way), way, 0.04)
        ground.lay(rng, corner, rng.choice(("fat", "serosa", "liver")), rim=rng.uniform(0.06, 0.2))
    at = rng.uniform((0.3, 0.5), (0.7, 0.7))
    ground.seat("tumour", at, rng.uniform(0, 6.3), rng.uniform(0.2, 0.4))


def _dome(rng, ground: Ground) -> None:
    """One large smooth organ, near and bright, its surroundings in the dark."""
    ground.cover(rng, rng.choice(("fat", "peritoneum", "folds", "bed")), rng.uniform(0.4, 1.2))
    if rng.random() < 0.6:
        way = rng.uniform(-2.6, -0.5)
        back = ground.beyond(rng, 0.5 + 0.25 * np.cos(way), 0.5 + 0.25 * np.sin(way), way)
        ground.lay(rng, back, rng.choice(("peritoneum", "fascia")), rim=0.1, depth=0.5)
    size = rng.uniform(0.3, 0.6, 2)
    body = ground.blob(rng, rng.uniform(0.3, 0.7, 2), size, rng.uniform(0, 3), 0.10)
    kind = rng.choice(("serosa", "gallbladder", "liver", "peritoneum"), p=(0.55, 0.15, 0.2, 0.1))
    ground.lay(rng, body, kind, rim=size.min(), lift=rng.uniform(0.35, 0.8))
    low = ground.beyond(rng, 0.5, rng.uniform(0.75, 1.0), np.pi / 2 + rng.normal(0, 0.6), 0.05)
    ground.lay(rng, low, rng.choice(("folds", "fat", "serosa")), rim=0.1)
    ground.seat("tumour", rng.uniform(0.35, 0.65, 2), rng.uniform(0, 6.3), rng.uniform(0.15, 0.3))


LAYOUTS = {
    "cholecystectomy": _cholecystectomy,
    "nephrectomy": _nephrectomy,
    "pelvis": _pelvis,
    "bowel": _bowel,
    "dissection": _dissection,
    "dome": _dome,
}
_SHARES = np.array([0.26, 0.22, 0.12, 0.12, 0.16, 0.12])


def draw(rng, side: int, config) -> Ground:
    """A lit square canvas of `side` pixels, and the seats it offers."""
    name = config.layout
    if name == "any":
        name = str(rng.choice(list(LAYOUTS), p=_SHARES))
    if name not in LAYOUTS:
        raise ValueError(f"SceneConfig.layout: expected one of {sorted(LAYOUTS)}, found {name!r}.")
    ground = Ground(rng, side, side)
    LAYOUTS[name](rng, ground)
    if rng.random() < 0.7:
        _veil(rng, ground)
    # A grain of its own keeps any surface from looking moulded.
    grain = noise.even_noise(rng, side, side, side / 50)
    grain += noise.even_noise(rng, side, side, side / 140)
    ground.colour *= (1 + rng.uniform(0.005, 0.025) * grain)[..., None]
    wounds.mark(rng, ground, config)
    np.clip(ground.colour, 0.008, 1.0, out=ground.colour)
    ground.canvas = shading.moist(
        rng, ground.colour, ground.relief, ground.gloss, ground.depth, ground.lamp
    )
    return ground
