"""Whole views of a body cavity: which organ lies where, over what, and lit by one lamp.

Path:    surfaces, shading -> [landscape] -> scene -> compositor
Axes:    canvas [H, W, 3] float32 RGB, 0..1 with highlights above 1.
Units:   pixels of the canvas; positions are fractions of it, x right, y down, before the view is
         turned and mirrored.
Errors:  ValueError for a layout that is not in LAYOUTS.
Differs: arrangements follow what a surgeon sees in the operation they are named after; nothing is
         measured from recordings.
"""

import dataclasses

import cv2
import numpy as np

from surgjax.synthetic import capillaries, noise, shading, surfaces, wounds


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

    def seat(self, name: str, x: float, y: float, angle: float, length: float) -> None:
        """Notes a place for a labelled organ, given in fractions of the unturned view."""
        u, v = self._mirror * (x - 0.5), y - 0.5
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
        self.colour *= 1 - dark[..., None] * np.float32((0.75, 0.97, 0.95))

    def beyond(self, rng, x: float, y: float, angle: float, wave: float = 0.03) -> np.ndarray:
        """Signed distance past a wavy line through (x, y); positive to the side `angle` points."""
        nx, ny = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        away = (self.x - x) * nx + (self.y - y) * ny
        along = (self.y - y) * nx - (self.x - x) * ny
        away = away + np.float32(rng.normal(0, 0.35)) * along * along
        wobble = noise.soft_fractal(rng, self.height, self.width, rng.uniform(2, 4.5), 4, 0.42)
        return self.side * (away + wave * wobble)

    def blob(self, rng, x: float, y: float, a: float, b: float, angle=0.0, wave=0.08) -> np.ndarray:
        """Signed distance, roughly, into a wavy ellipse with half-axes a and b."""
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


def _veil(rng, ground: Ground) -> None:
    """The lining that runs over everything alike: a common tint, vessels that heed no border."""
    height, width = ground.height, ground.width
    field = noise.soft_fractal(rng, height, width, rng.uniform(1.5, 4), 3, 0.5)
    share = rng.uniform(0.2, 0.75) * noise.smoothstep(field, -0.3, 1.3)
    skin = ground.skin(rng, rng.choice(("peritoneum", "serosa", "fascia"), p=(0.5, 0.25, 0.25)))
    ground.colour += share[..., None] * (skin.colour - ground.colour)
    ground.relief += 0.7 * share * (skin.relief - ground.relief)
    if rng.random() < 0.6:
        cover = capillaries.trees(rng, height, width, int(rng.integers(1, 4)), rng.uniform(0.7, 1.5))
        tone = np.float32((0.48, 0.06, 0.09))
        ground.colour += (rng.uniform(0.3, 0.7) * cover)[..., None] * (tone - ground.colour)


def _cholecystectomy(rng, ground: Ground) -> None:
    """Under the liver: its edge above, fat and duodenum below, the gallbladder between."""
    ground.cover(rng, rng.choice(("bed", "fascia", "peritoneum")), rng.uniform(0.1, 0.5))
    edge = rng.uniform(0.30, 0.55)
    if rng.random() < 0.7:
        right = ground.beyond(rng, rng.uniform(0.65, 0.9), 0.6, rng.normal(0.3, 0.3))
        ground.lay(rng, right, "serosa", rim=rng.uniform(0.1, 0.25), depth=rng.uniform(0, 0.2))
    low = ground.beyond(rng, 0.4, rng.uniform(0.6, 0.85), np.pi / 2 + rng.normal(0, 0.35), 0.045)
    ground.lay(rng, low, "fat", rim=rng.uniform(0.05, 0.16))
    if rng.random() < 0.5:
        bed = ground.blob(rng, rng.uniform(0.35, 0.65), edge + 0.15, 0.24, 0.15, 0, 0.35)
        ground.lay(rng, bed, "bed", rim=0.03, lift=-0.6, soft=rng.uniform(0.02, 0.07))
    high = ground.beyond(rng, 0.5, edge, -np.pi / 2 + rng.normal(0, 0.25), 0.012)
    ground.lay(rng, high, "liver", rim=rng.uniform(0.05, 0.3), depth=rng.uniform(0, 0.15))
    way = np.pi / 2 + rng.normal(0, 0.5)
    ground.seat("gallbladder", rng.uniform(0.3, 0.7), edge + 0.06, way, rng.uniform(0.28, 0.5))


def _nephrectomy(rng, ground: Ground) -> None:
    """Retroperitoneum: lined wall behind, folds of bowel and fat in front, a kidney."""
    ground.cover(rng, rng.choice(("peritoneum", "fascia", "muscle"), p=(0.65, 0.2, 0.15)), 0.15)
    if rng.random() < 0.5:
        side = ground.beyond(rng, rng.uniform(0.05, 0.3), 0.5, np.pi + rng.normal(0, 0.4))
        ground.lay(rng, side, rng.choice(("liver", "serosa")), rim=rng.uniform(0.1, 0.3))
    low = ground.beyond(rng, 0.5, rng.uniform(0.5, 0.8), np.pi / 2 + rng.normal(0, 0.35), 0.06)
    ground.lay(rng, low, rng.choice(("folds", "fat")), rim=rng.uniform(0.08, 0.2))
    if rng.random() < 0.4:
        patch = ground.blob(rng, *rng.uniform(0.3, 0.7, 2), 0.28, 0.15, rng.uniform(0, 3), 0.35)
        ground.lay(rng, patch, "bed", rim=0.03, lift=-0.6, soft=rng.uniform(0.02, 0.07))
    ground.seat("kidney", *rng.uniform(0.3, 0.7, 2), rng.uniform(0, 6.3), rng.uniform(0.35, 0.6))


def _pelvis(rng, ground: Ground) -> None:
    """Pelvic floor: folds of peritoneum towards a deep middle, a smooth dome, bowel below."""
    ground.cover(rng, rng.choice(("peritoneum", "fascia")), rng.uniform(0.4, 0.9))
    for way in rng.permutation((np.pi, 0.0))[: int(rng.integers(1, 3))]:
        x = 0.5 + 0.5 * np.cos(way) * rng.uniform(0.5, 0.85)
        fold = ground.beyond(rng, x, 0.5, way + rng.normal(0, 0.35), 0.03)
        kind = rng.choice(("peritoneum", "serosa"))
        ground.lay(rng, fold, kind, rim=rng.uniform(0.08, 0.25), depth=rng.uniform(0.05, 0.3))
    x, y = rng.uniform(0.35, 0.65), rng.uniform(0.25, 0.5)
    dome = ground.blob(rng, x, y, rng.uniform(0.2, 0.34), rng.uniform(0.16, 0.28), 0, 0.10)
    ground.lay(rng, dome, "serosa", rim=rng.uniform(0.15, 0.3), lift=rng.uniform(0.5, 1))
    low = ground.beyond(rng, 0.5, rng.uniform(0.7, 0.92), np.pi / 2 + rng.normal(0, 0.3), 0.05)
    ground.lay(rng, low, rng.choice(("folds", "fat", "serosa")), rim=rng.uniform(0.06, 0.16))
    ground.seat("bowel", rng.uniform(0.25, 0.75), 0.75, rng.normal(0, 0.5), rng.uniform(0.3, 0.5))


def _bowel(rng, ground: Ground) -> None:
    """Loops of bowel on their mesentery."""
    ground.cover(rng, rng.choice(("fat", "peritoneum", "fascia")), rng.uniform(0.1, 0.4))
    for _ in range(int(rng.integers(2, 5))):
        y = rng.uniform(0, 1.0)
        line = [(x, y + rng.normal(0, 0.12)) for x in (-0.3, 0.1, 0.5, 0.9, 1.3)]
        radius = rng.uniform(0.07, 0.15)
        ground.lay(rng, ground.tube(rng, line, radius), "serosa", rim=radius, lift=0.9)
    if rng.random() < 0.6:
        low = ground.beyond(rng, 0.5, rng.uniform(0.75, 0.95), np.pi / 2 + rng.normal(0, 0.5), 0.05)
        ground.lay(rng, low, "fat", rim=0.1)
    ground.seat("bowel", *rng.uniform(0.3, 0.7, 2), rng.uniform(0, 6.3), rng.uniform(0.3, 0.5))


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
    ground.seat("tumour", rng.uniform(0.3, 0.7), rng.uniform(0.5, 0.7), 0, rng.uniform(0.2, 0.4))


def _dome(rng, ground: Ground) -> None:
    """One large smooth organ, near and bright, its surroundings in the dark."""
    ground.cover(rng, rng.choice(("fat", "peritoneum", "folds", "bed")), rng.uniform(0.4, 1.2))
    if rng.random() < 0.6:
        way = rng.uniform(-2.6, -0.5)
        back = ground.beyond(rng, 0.5 + 0.25 * np.cos(way), 0.5 + 0.25 * np.sin(way), way)
        ground.lay(rng, back, rng.choice(("peritoneum", "fascia")), rim=0.1, depth=0.5)
    size = rng.uniform(0.3, 0.6, 2)
    body = ground.blob(rng, *rng.uniform(0.3, 0.7, 2), *size, rng.uniform(0, 3), 0.10)
    kind = rng.choice(("serosa", "gallbladder", "liver", "peritoneum"), p=(0.55, 0.15, 0.2, 0.1))
    ground.lay(rng, body, kind, rim=size.min(), lift=rng.uniform(0.35, 0.8))
    low = ground.beyond(rng, 0.5, rng.uniform(0.75, 1.0), np.pi / 2 + rng.normal(0, 0.6), 0.05)
    ground.lay(rng, low, rng.choice(("folds", "fat", "serosa")), rim=0.1)
    ground.seat("tumour", *rng.uniform(0.35, 0.65, 2), rng.uniform(0, 6.3), rng.uniform(0.15, 0.3))


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
