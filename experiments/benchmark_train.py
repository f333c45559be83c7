"""Compile time, memory and speed of one training step on a drawn clip batch.

  python -m experiments.benchmark_train --variant nano --frames 6 --corrections 2
  python -m experiments.benchmark_train --variant base_plus --recipe decoder_only --steps 0

Path:    drawn batch -> train.update (with a recipe) or train.steps.promptable (without)
         -> [benchmark_train] -> one line of JSON
Units:   seconds; MB of 10^6 bytes, as the compiled program itself accounts for them: `argument` is
         what goes in, `temp` what it needs while it runs, `peak` both and what comes out, counted
         once where it takes the place of what went in.
Errors:  those of the step's options.
Differs: no input pipeline. With a recipe a step is the loop's own: loss, gradients of what is
         trained, clipping, AdamW, running mean; parameters, moments, mean and batch are arguments.
         Without one it is loss and gradients of everything, which leave the program as output.
         With --steps 0 nothing is allocated, and --quick compiles machine code without
         optimising it: the buffers are the same, and large models compile sooner.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surgjax import train
from surgjax.models import sam2, variants
from surgjax.train import lora, recipes
from surgjax.train.steps import promptable
from surgjax.train.steps.prompted_frame import PromptOptions
from surgjax.train.update import make_step

MB = 1e6


def draw_batch(clips: int, frames: int, objects: int, side: int) -> promptable.SceneBatch:
    """Noise with a disc per object that moves to the right."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    masks = np.zeros((clips, frames, objects, side, side), bool)
    for t in range(frames):
        for o in range(objects):
            cx, cy = side * (0.2 + 0.6 * o / max(objects, 1) + 0.02 * t), side * (0.3 + 0.1 * o)
            masks[:, t, o] = (x - cx) ** 2 + (y - cy) ** 2 < (side / 8) ** 2
    return promptable.SceneBatch(
        frames=rng.integers(0, 256, (clips, frames, side, side, 3), np.uint8),
        masks=masks,
        valid=np.ones((clips, objects), bool),
        frame_index=np.tile(np.arange(frames, dtype=np.int32), (clips, 1)),
    )


Program = tuple[Any, tuple[Any, ...]]  # a jitted function and its arguments


def gradient_program(model: sam2.Sam2, loss_fn: Callable[..., Any], real: bool) -> Program:
    """Loss and gradients of everything; arguments without the batch, which comes second."""

    def step(params: Any, batch: promptable.SceneBatch, key: jax.Array):
        return jax.value_and_grad(lambda p: loss_fn(p, batch, key), has_aux=True)(params)

    params = _params(model.config, real)
    key = jax.random.key(0) if real else jax.eval_shape(lambda: jax.random.key(0))
    return jax.jit(step), (params, key)


def update_program(model: sam2.Sam2, loss_fn: Callable[..., Any], name: str, real: bool) -> Program:
    """The loop's update by a recipe, with AdamW."""
    recipe, params = recipes.get_recipe(name), _params(model.config, real)
    if name == "lora":
        params = lora.add(params, lora.LoraOptions(), 0)
        loss_fn = lora.adapted(loss_fn, lora.LoraOptions())
    optimizer = train.build_optimizer(train.OptimizerOptions())

    def start(params: Any) -> train.TrainState:
        return train.init_state(params, optimizer, 0, recipe)

    if real:
        state = start(jax.tree.map(jnp.asarray, params))
    else:
        state = jax.eval_shape(start, params)
    return make_step(loss_fn, optimizer, 0.999, recipe=recipe), (state, np.float32(1e-5))


def _params(config: variants.Sam2Config, real: bool) -> Any:
    if not real:
        return sam2.abstract_params(config)
    return jax.tree.map(jnp.asarray, sam2.init_params(config, 0))


def measure(
    config: variants.Sam2Config,
    options: PromptOptions,
    batch: promptable.SceneBatch,
    dtype: str = "float32",
    steps: int = 3,
    kind: str = "clip",
    recipe: str | None = None,
    quick: bool = False,
) -> dict[str, Any]:
    """Figures of one compiled step; steps 0 compiles without running.

    kind: "clip", or "image" for the first frames alone. recipe: see the module.
    """
    model, real = sam2.Sam2(config, jnp.dtype(dtype)), steps > 0
    chosen = {"clip": promptable.clip_loss, "image": promptable.image_loss}[kind]

    def loss_fn(params: Any, batch: promptable.SceneBatch, key: jax.Array):
        return chosen(model, params, batch, key, options)

    if recipe is None:
        step, (first, last) = gradient_program(model, loss_fn, real)
    else:
        step, (first, last) = update_program(model, loss_fn, recipe, real)
    batch = jax.device_put(batch)
    begin = time.perf_counter()
    lowered = step.lower(first, batch, last)
    traced, busy = time.perf_counter(), time.process_time()
    level = {"xla_backend_optimization_level": 0} if quick else None
    compiled = lowered.compile(compiler_options=level)
    found = {
        "trace_s": round(traced - begin, 1),
        "compile_s": round(time.perf_counter() - traced, 1),
        "compile_cpu_s": round(time.process_time() - busy, 1),  # what a shared machine leaves fair
        **program_memory(compiled),
    }
    times = []
    for _ in range(steps):
        begin, busy = time.perf_counter(), time.process_time()
        out, metrics = jax.block_until_ready(compiled(first, batch, last))
        times.append((time.perf_counter() - begin, time.process_time() - busy))
        if recipe is None:
            found["loss"] = round(float(out[0]), 5)
        else:  # the state goes in with the next step
            first, found["loss"] = out, round(float(metrics["loss"]), 5)
    if times:
        wall, cpu = np.median(np.array(times), 0)
        found |= {"step_s": round(float(wall), 3), "step_cpu_s": round(float(cpu), 3)}
    return found


def program_memory(compiled: Any) -> dict[str, float]:
    """What the program needs, by kind and in all; empty where a backend does not say."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return {}
    names = ("argument", "output", "temp", "alias")
    sizes = {n: getattr(analysis, f"{n}_size_in_bytes") / MB for n in names}
    peak = sizes["argument"] + sizes["output"] + sizes["temp"] - sizes["alias"]
    return {f"{n}_mb": round(v, 1) for n, v in (sizes | {"peak": peak}).items() if n != "alias"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.benchmark_train",
        description=(__doc__ or "").split("\n", 1)[0],
        allow_abbrev=False,
    )
    parser.add_argument("--variant", default="nano", choices=sorted(variants.VARIANTS))
    for name, value, what in (
        ("size", 256, "side of the frames in pixels"),
        ("clips", 2, "clips of a batch"),
        ("frames", 6, "frames of a clip"),
        ("objects", 3, "objects of a clip"),
        ("conditioning_frames", 1, "prompted frames, at most"),
        ("corrected_frames", 1, "corrected frames, at most"),
        ("corrections", 0, "clicks on each corrected frame"),
        ("steps", 3, "timed steps, 0 to compile alone"),
    ):
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{what} ({value})")
    what = "the loop's update by this recipe, not loss and gradients alone"
    parser.add_argument("--recipe", choices=tuple(recipes.RECIPES), help=what)
    parser.add_argument("--quick", action="store_true", help="compile without optimising")
    parser.add_argument("--kind", default="clip", choices=("clip", "image"))
    parser.add_argument("--mask_probability", type=float, default=0.0, help="of a mask as prompt")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--drop_path", type=float, default=0.0, help="of the image encoder")
    parser.add_argument("--remat", default="none", help="see surgjax.layers.rematerialisation")
    parser.add_argument("--remat_encoder", action="store_true", help="recompute encoder blocks")
    return parser


def main(args: list[str] | None = None) -> None:
    flags = _parser().parse_args(args)
    config = variants.get_config(flags.variant, image_size=flags.size)
    config = config.replace(drop_path_rate=flags.drop_path, remat=flags.remat_encoder)
    changes: dict[str, Any] = {} if flags.remat == "none" else {"remat": flags.remat}
    options = PromptOptions(
        conditioning_frames=flags.conditioning_frames,
        corrected_frames=max(flags.corrected_frames, flags.conditioning_frames),
        corrections=flags.corrections,
        mask_probability=flags.mask_probability,
        loss_size=flags.size // 2,
        **changes,
    )
    batch = draw_batch(flags.clips, flags.frames, flags.objects, flags.size)
    found = measure(
        config, options, batch, flags.dtype, flags.steps, flags.kind, flags.recipe, flags.quick
    )
    device = jax.devices()[0].device_kind
    print(json.dumps(vars(flags) | {"device": device, "jax": jax.__version__} | found))


if __name__ == "__main__":
    main()
