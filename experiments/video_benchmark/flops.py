"""Floating-point operations of a tracked frame, from the compiled programs.

Path:    programs, state -> [flops] -> report
Units:   operations; a multiplication with its addition counts as two.
Source:  ours; XLA's own cost analysis of compiled programs.
Differs: XLA counts the body of every loop once, however often it runs. What the other iterations
         multiply is added from the traced program: loops of known length (tiles of keys in the
         encoder) by that length, the loop over objects by their number, and the loop over memories
         by the dense form of memory attention on as many memories as are read, which does the same
         arithmetic without a loop. Only matrix products and convolutions are added so.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surgjax.inference.programs import Programs
from surgjax.inference.stream import Stream, TrackState
from surgjax.memory.policies import Clock
from surgjax.structs import ImageFeatures


def products(jaxpr: Any, lengths: bool = True) -> float:
    """Operations of the products of a traced program; loops of unknown length count once.

    lengths: loops of known length count as often as they run, else once, as XLA has it. Of the
    branches of a condition the dearest counts, as XLA has it.
    """
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    return sum(_of_equation(equation, lengths) for equation in jaxpr.eqns)


def _of_equation(equation: Any, lengths: bool) -> float:
    name, given = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = given["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        depth = math.prod(shape[axis] for axis in contracted)
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * depth
    if name == "conv_general_dilated":
        kernel, spec = equation.invars[1].aval.shape, given["dimension_numbers"].rhs_spec
        each = math.prod(kernel) / kernel[spec[0]]  # inputs of one output value
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * each
    if name == "cond":
        return max(products(branch, lengths) for branch in given["branches"])
    inner = [value for value in given.values() if hasattr(value, "eqns") or hasattr(value, "jaxpr")]
    times = given["length"] if name == "scan" and lengths else 1
    return times * sum(products(value, lengths) for value in inner)


def reported(compiled: Any) -> float | None:
    """XLA's own figure of a compiled program; None where a backend has none."""
    analysis = compiled.cost_analysis()
    found = None if analysis is None else analysis.get("flops")
    return None if found is None or found <= 0 else float(found)


def memories_read(stream: Stream, state: TrackState, slot: int = 0) -> int:
    """Spatial memories that the object in a slot reads on the next frame."""
    row = jax.tree.map(lambda x: x[slot], state.bank)
    clock = Clock(state.frame_index, state.direction, state.num_frames)
    return int(stream.policy.read(row, clock).count[0])


def flops_per_frame(
    programs: Programs,
    state: TrackState,
    features: ImageFeatures,
    objects: int,
) -> float | None:
    """Of one tracked frame with what this state remembers: encoder once, the rest per object.

    From the programs for one frame, which prompts have had compiled.
    """
    stream, side = programs.stream, programs.stream.config.image_size
    frame = jax.ShapeDtypeStruct((side, side, 3), jnp.float32)
    prompts = programs.blank_prompts(jax.tree.leaves(state.bank)[0].shape[0])
    tracker_key = ("tracker", prompts.track.shape[0], prompts.points.valid.shape[1])
    encoder = reported(programs.compiled[("image encoder",)])
    tracker = reported(programs.compiled[tracker_key])
    if encoder is None or tracker is None:
        return None
    encode = jax.make_jaxpr(stream.encode)(programs.params, frame)
    track = jax.make_jaxpr(stream.track)(programs.params, state, features, prompts)
    encoder += products(encode) - products(encode, lengths=False)
    tiled, dense = _memory_attention(programs, state, features)
    each = products(track) - tiled + dense  # an object's products
    return encoder + tracker - products(track, lengths=False) + objects * each


def _of_length(read: Any, count: int) -> Any:
    """As read, with so many memories and none to spare."""
    return read.replace(
        features=jax.ShapeDtypeStruct((1, count, *read.features.shape[2:]), read.features.dtype),
        time_index=jax.ShapeDtypeStruct((1, count), np.int32),
    )


def _memory_attention(
    programs: Programs, state: TrackState, features: ImageFeatures
) -> tuple[float, float]:
    """Products of one object's memory attention: one tile of its loop, and all it reads."""
    stream = programs.stream
    row = jax.tree.map(lambda x: x[0], state.bank)
    clock = Clock(state.frame_index, state.direction, state.num_frames)
    read: Any = jax.eval_shape(stream.policy.read, row, clock)
    condition = functools.partial(stream.model.apply, method="condition")

    def traced(read: Any, tiled: bool) -> float:
        def run(params, s16, read):
            return condition({"params": params}, s16, read, tiled=tiled)

        return products(jax.make_jaxpr(run)(programs.params, features.s16, read))

    count = memories_read(stream, state)
    shapes = _of_length(read, count)
    if read.far is not None:
        far = stream.policy.read(row, clock).far
        assert far is not None
        shapes = shapes.replace(far=_of_length(read.far, int(far.count[0])))
    return traced(read, True), traced(shapes, False)
