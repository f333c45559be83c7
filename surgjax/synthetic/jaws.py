"""Outlines of wrists and jaws: graspers, scissors, needle drivers, hooks, suction tips, probes.

Path:    [jaws] -> instruments (through sprites.solid)
Axes:    outlines are [N, 2] (x, y), pointing along +x, the joint at the origin.
Units:   pixels of the frame.
Differs: shapes are free inventions in the manner of common instruments, not models of any product.
"""

import numpy as np

PAIRED = ("grasper", "fenestrated", "scissors", "needle_driver", "bipolar", "clip_applier")
SINGLE = ("hook", "suction", "probe", "cone")
KINDS = PAIRED + SINGLE
NAMES = {  # as people say it, where the kind is too short
    "fenestrated": "fenestrated grasper",
    "needle_driver": "needle driver",
    "bipolar": "bipolar forceps",
    "clip_applier": "clip applier",
    "hook": "cautery hook",
    "suction": "suction tube",
    "cone": "cautery tip",
}


def _ribbon(centre: np.ndarray, half: np.ndarray) -> np.ndarray:
    """The outline of a band of half-width `half` about a centre line."""
    tangent = np.gradient(centre, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], -1)
    return np.concatenate(
        [centre + normal * half[:, None], (centre - normal * half[:, None])[::-1]]
    )


def _ellipse(x, y, a, b, angle=0.0) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    px, py = a * np.cos(t), b * np.sin(t)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([x + c * px - s * py, y + s * px + c * py], -1)


def jaw(rng, kind: str, length: float, width: float):
    """Outline and holes of the upper jaw (inner edge at y = 0 side up, y < 0 outside)."""
    t = np.linspace(0, 1, 25)
    bow = {"bipolar": 0.16, "scissors": 0.2, "clip_applier": 0.28}.get(kind, 0.08)
    bow *= rng.uniform(0.2, 1.4) * length
    centre = np.stack([t * length, -bow * np.sin(np.pi * t * rng.uniform(0.7, 1.0))], -1)
    tip = {"scissors": 0.12, "bipolar": 0.35, "needle_driver": 0.7}.get(kind, 0.55)
    tip *= rng.uniform(0.7, 1.4)
    half = 0.5 * width * ((1 - t) * 1.0 + t * tip) * np.sqrt(np.clip((1.04 - t) * 12, 0, 1))
    if kind == "clip_applier":  # thin arms that part and close again
        half *= 0.7
    outline = _ribbon(centre, half)
    if kind in ("grasper", "needle_driver", "fenestrated") and rng.random() < 0.6:
        teeth = int(rng.integers(5, 14))  # on the inner side, the first half of the outline
        inner = np.arange(len(t))
        wave = np.where((t * teeth * 2).astype(int) % 2, 1.0, -1.0) * 0.06 * width
        outline[inner, 1] += wave
    holes = []
    if kind == "fenestrated" and width > 5:
        mid = centre[13]
        holes.append(_ellipse(mid[0], mid[1], length * rng.uniform(0.18, 0.3), width * 0.24))
    return outline, holes


def single_tip(rng, kind: str, length: float, width: float):
    """Outline and holes of a tip that does not open."""
    t = np.linspace(0, 1, 25)
    if kind == "hook":
        thin = width * rng.uniform(0.18, 0.35)
        bend = rng.choice((-1, 1)) * length * rng.uniform(0.3, 0.6)
        centre = np.stack([t * length, bend * np.clip((t - 0.55) / 0.45, 0, 1) ** 2], -1)
        return _ribbon(centre, np.full(25, thin / 2)), []
    if kind == "suction":
        half = 0.5 * width * (1 - 0.2 * t) * np.sqrt(np.clip((1.02 - t) * 14, 0, 1))
        line = np.stack([t * length, rng.normal(0, 0.06) * length * t**2], -1)
        holes = []
        if width > 9 and rng.random() < 0.5:
            for at in rng.uniform(0.5, 0.9, int(rng.integers(1, 4))):
                holes.append(_ellipse(at * length, 0, width * 0.12, width * 0.09))
        return _ribbon(line, half), holes
    if kind == "probe":
        swell = 1 + rng.uniform(0, 0.35) * np.sin(np.pi * t)
        half = 0.55 * width * swell * np.sqrt(np.clip((1.03 - t) * 5, 0, 1))
        return _ribbon(np.stack([t * length, 0 * t], -1), half), []
    end = rng.uniform(0.05, 0.5)  # cone
    half = 0.5 * width * ((1 - t) ** rng.uniform(0.6, 1.3) * (1 - end) + end)
    half *= np.sqrt(np.clip((1.02 - t) * 12, 0, 1))
    return _ribbon(np.stack([t * length, 0 * t], -1), half), []


def wrist(rng, length: float, width: float):
    """A clevis: stepped links with necks, sometimes a window."""
    knots = int(rng.integers(3, 7))
    positions = np.sort(rng.uniform(0.05, 0.95, knots))
    profile = rng.uniform(0.55, 1.1, knots + 1)
    t = np.linspace(0, 1, 33)
    half = 0.5 * width * profile[np.searchsorted(positions, t)]
    half = np.convolve(np.pad(half, 1, mode="edge"), np.ones(3) / 3, mode="valid")
    half *= np.sqrt(np.clip((1.04 - t) * 9, 0.2, 1)) * np.sqrt(np.clip((t + 0.05) * 12, 0.3, 1))
    outline = _ribbon(np.stack([t * length, 0 * t], -1), half)
    holes = []
    if width > 14 and rng.random() < 0.15:
        holes.append(_ellipse(length * rng.uniform(0.35, 0.7), 0, length * 0.12, width * 0.12))
    return outline, holes
