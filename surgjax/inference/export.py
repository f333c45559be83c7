"""Compiled programs of a tracker as files that run without the model's code.

Path:    weights, memory policy -> [export] -> folder -> `exported.ExportedTracker`
Axes:    O object slots, P point slots, S side of the model input: all fixed in the programs.
Units:   see `exported`.
Errors:  ValueError naming what was expected and what was found; `check` raises where a reloaded
         tracker gives other masks.
Source:  ours, over `jax.export` (StableHLO).
Differs: nothing to compare with: the reference exports no tracker, only an image model.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr
from safetensors.numpy import save_file

from surgjax.inference.exported import (
    FORMAT,
    INDEX,
    PROGRAMS,
    SEPARATOR,
    WEIGHTS,
    Arrays,
    ExportedTracker,
)
from surgjax.inference.stream import Stream, no_prompts
from surgjax.layers.attention import portable_attention
from surgjax.models.variants import IMAGE_MEAN, IMAGE_STD
from surgjax.versions import package_versions

FILES = (INDEX, WEIGHTS, *(f"{name}.jax" for name in PROGRAMS))
OUTPUTS = ("low_res", "object_score", "iou", "ran", "semantic")
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def _flat(tree: Any) -> Arrays:
    """A pytree as a dict of its leaves, named by their paths."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {keystr(path).strip("."): leaf for path, leaf in leaves}


def _like(example: Any, flat: Arrays) -> Any:
    """The pytree again; `example` gives its structure."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(example)
    return jax.tree.unflatten(structure, [flat[keystr(path).strip(".")] for path, _ in leaves])


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def _functions(stream: Stream, objects: int, points: int, params: dict) -> dict[str, tuple]:
    """Of every program: the function over dicts of arrays, and shapes of its arguments."""
    side = stream.config.image_size
    mean, std = (np.array([[x]], np.float32) for x in (IMAGE_MEAN, IMAGE_STD))  # [1, 1, 3]
    blank = no_prompts(stream.config, objects, points)
    state = jax.eval_shape(lambda: stream.init_state(objects))
    pixels = jax.ShapeDtypeStruct((side, side, 3), np.uint8)

    def encode(params: dict, frame: jax.Array) -> Arrays:
        normalised = (frame.astype(jnp.float32) / 255.0 - mean) / std
        return _flat(stream.encode(params, normalised))

    normal = jax.ShapeDtypeStruct(pixels.shape, np.float32)
    features = jax.eval_shape(stream.encode, _shapes(params), normal)

    def track(params: dict, state_: Arrays, features_: Arrays, prompts: Arrays):
        asked = _like(blank, prompts)
        after, output = stream.track(
            params, _like(state, state_), _like(features, features_), asked
        )
        said = {name: getattr(output, name) for name in OUTPUTS}
        return _flat(after), {k: v for k, v in said.items() if v is not None}

    weights = _shapes(params)
    return {
        "init": (lambda: _flat(stream.init_state(objects)), ()),
        "encode": (encode, (weights, pixels)),
        "track": (track, (weights, _flat(state), _flat(features), _shapes(_flat(blank)))),
    }


def _fill(name: str, value: np.ndarray) -> tuple:
    """Shape, type and the one value that an array of `no_prompts` is filled with."""
    first = value.flat[0].item()
    if not (value == first).all():
        raise ValueError(f"prompts: {name} is not one value.")
    return list(value.shape), value.dtype.name, first


def _exported(function: Any, shapes: Any, platforms: Sequence[str]) -> jax.export.Exported:
    """Traced anew: what this process has traced to run itself may call its own GPU's library."""

    def anew(*args: Any) -> Any:
        return function(*args)

    return jax.export.export(jax.jit(anew), platforms=list(platforms) or None)(*shapes)


def export_tracker(
    folder: Path,
    stream: Stream,
    params: dict,
    objects: int = 4,
    points: int = 4,
    platforms: Sequence[str] = (),
    about: dict[str, Any] | None = None,
) -> None:
    """Writes programs, weights and tracker.json into a folder that exists.

    platforms: what the programs are lowered for, `PLATFORMS`; by default this machine's. about:
    facts for tracker.json (weights, policy).
    """
    unknown = [name for name in platforms if name not in PLATFORMS]
    if unknown or objects < 1 or points < 2:
        raise ValueError(
            f"platforms {list(platforms)}, objects {objects}, points {points}: platforms of "
            f"{', '.join(PLATFORMS)}, an object and two points (a box) or more expected."
        )
    precision = "highest" if stream.dtype == jnp.float32 else "default"
    sums = {}
    # Precision is part of the program, as in `programs`; a kernel of cuDNN would tie it to a GPU.
    with jax.default_matmul_precision(precision), portable_attention():
        for name, (function, shapes) in _functions(stream, objects, points, params).items():
            data = bytes(_exported(function, shapes, platforms).serialize())
            (folder / f"{name}.jax").write_bytes(data)
            sums[f"{name}.jax"] = hashlib.sha256(data).hexdigest()
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    named = {SEPARATOR.join(str(key.key) for key in path): leaf for path, leaf in leaves}
    save_file({name: np.ascontiguousarray(x) for name, x in named.items()}, folder / WEIGHTS)
    sums[WEIGHTS] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    blank = _flat(no_prompts(stream.config, objects, points))
    facts = {
        "format": FORMAT,
        "image_size": stream.config.image_size,
        "objects": objects,
        "points": points,
        "prompts": {name: _fill(name, value) for name, value in blank.items()},
        "versions": package_versions(("jax", "jaxlib")),
        "sha256": sums,
    }
    text = json.dumps(facts | {"about": about or {}}, indent=1)
    (folder / INDEX).write_text(text + "\n")


def check(
    folder: Path, stream: Stream, params: dict, frames: Sequence[np.ndarray], tolerance: float
) -> float:
    """Reloads a folder and tracks two boxes with both: the largest difference of mask logits over
    their range. frames: uint8 [S, S, 3], the first one prompted. ValueError above `tolerance`.
    """
    reloaded = ExportedTracker(folder)
    side, objects = reloaded.image_size, reloaded.objects
    prompts = reloaded.no_prompts()
    for slot in range(min(2, objects)):
        at = side // 8 * (slot + 1)
        reloaded.add_box(prompts, slot, [at, at, at + side // 2, at + side // 2])
    functions = {
        k: jax.jit(f) for k, (f, _) in _functions(stream, objects, reloaded.points, params).items()
    }
    precision = "highest" if stream.dtype == jnp.float32 else "default"
    states = [reloaded.init(), functions["init"]()]
    worst = 0.0
    for k, frame in enumerate(frames):
        asked = reloaded.no_prompts() if k else prompts
        states[0], a = reloaded.track(states[0], reloaded.encode(frame), asked)
        with jax.default_matmul_precision(precision):
            features = functions["encode"](params, frame)
            states[1], b = functions["track"](params, states[1], features, asked)
        ran = np.asarray(a["ran"])
        if not ran.any() or (ran != np.asarray(b["ran"])).any():
            raise ValueError(f"{folder}: frame {k}: other objects ran after reloading.")
        a, b = (np.asarray(x["low_res"])[ran] for x in (a, b))
        worst = max(worst, float(np.abs(a - b).max() / max(np.ptp(b), 1e-6)))
    if not worst <= tolerance:
        raise ValueError(
            f"{folder}: masks differ by {worst:.2g} of their range after reloading; at most "
            f"{tolerance:g} expected."
        )
    return worst
