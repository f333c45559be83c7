"""Seeded masks and folders on which published evaluators and ours are compared.

Path:    [evaluator_cases] -> make_evaluators (once, with the references) -> test_evaluators
Axes:    masks are bool (H, W); label maps uint8 (T, H, W).
Units:   pixels.
Errors:  none.
Source:  ours.
Differs: nothing to compare with.
"""

import numpy as np

# (height, width, pairs): tolerances of 1, 1, 3 and 8 pixels.
SIZES = ((9, 12, 700), (40, 64, 500), (200, 300, 60), (480, 854, 6))


def _blob(rng, height, width):
    y, x = np.mgrid[:height, :width]
    centre = rng.uniform(-0.1, 1.1, 2) * (height, width)
    radius = rng.uniform(0.02, 0.5, 2) * min(height, width) + 0.5
    angle = np.arctan2(y - centre[0], x - centre[1])
    wave = 1 + 0.3 * np.sin(angle * rng.integers(1, 7))
    return ((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2 < wave


def _mask(rng, height, width):
    kind = rng.integers(8)
    mask = np.zeros((height, width), bool)
    if kind == 1:
        mask[:] = True
    elif kind == 2:
        mask[rng.integers(height), rng.integers(width)] = True
    elif kind == 3:  # touches the border
        mask[:, : rng.integers(1, width)] = True
    elif kind == 4:
        mask = rng.random((height, width)) < rng.choice([0.02, 0.2, 0.6])
    elif kind > 4:
        mask = _blob(rng, height, width)
    return mask


def mask_pairs():
    """(mask, target, ignored pixels or None), many and odd."""
    rng = np.random.default_rng(20170405)
    for height, width, count in SIZES:
        for index in range(count):
            target = _mask(rng, height, width)
            moved = np.roll(target, tuple(rng.integers(-4, 5, 2)), (0, 1))
            mask = moved if rng.random() < 0.4 else _mask(rng, height, width)
            ignored = _mask(rng, height, width) & ~target if index % 3 == 0 else None
            yield mask, target, ignored


def sequences(kind):
    """Name -> (predictions, ground truth), label maps (T, H, W).

    "davis": every object is on the first frame, some vanish; "late": objects appear later, in
    either, and ids of the first frame are skipped; "gaps": the same, but predictions lack the ids
    above those of the first frame; "classes": ids are classes, frames may be empty in either.
    """
    if kind == "gaps":
        late = sequences("late")
        return {
            name: (np.where(found > truth[0].max(), 0, found).astype(np.uint8), truth)
            for name, (found, truth) in late.items()
        }
    rng = np.random.default_rng({"davis": 1, "late": 2, "classes": 3}[kind])
    found = {}
    for index in range(6):
        frames, height, width = int(rng.integers(5, 14)), 48, 64
        objects = [1, 2, 3] if kind == "davis" else [1, 3, 4]
        if kind == "classes":
            objects = sorted(rng.choice(np.arange(1, 8), 3, replace=False).tolist())
        target = np.zeros((frames, height, width), np.uint8)
        prediction = np.zeros_like(target)
        for order, label in enumerate(objects):
            y, x = np.mgrid[:height, :width]
            start, speed = rng.uniform(12, 40, 2), rng.normal(0, 1.2, 2)
            radius = rng.uniform(5, 9)
            begin = int(rng.integers(1, frames)) if kind == "late" and order else 0
            for t in range(frames):
                centre = start + speed * t
                if t >= begin and (t == 0 or rng.random() > 0.15):
                    target[t][np.hypot(y - centre[0], x - centre[1]) < radius] = label
                centre = centre + rng.normal(0, 1.5, 2)
                seen = rng.random() > 0.2 and (kind != "late" or t >= begin - 1)
                if seen:
                    prediction[t][np.hypot(y - centre[0], x - centre[1]) < radius] = label
        if kind == "classes":
            target[rng.random(frames) < 0.2] = 0
            prediction[rng.random(frames) < 0.2] = 0
            swap = rng.random(frames) < 0.3  # a wrong class
            prediction[swap] = np.where(prediction[swap] > 0, prediction[swap] % 7 + 1, 0)
        else:  # every object is wholly visible at first, where the kind wants it so
            for label in objects if kind == "davis" else objects[:1]:
                target[0, 4 * label : 4 * label + 3, :6] = label
            if kind == "late":
                target[0] = np.where(target[0] == 1, 3, target[0])  # ids 1 and 2 are skipped
        found[f"seq{index}"] = prediction, target
    return found
