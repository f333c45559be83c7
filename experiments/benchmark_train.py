"""Compile time, memory and speed of one training step: loss and gradients of a drawn clip batch.

  python -m experiments.benchmark_train --variant nano --frames 6 --corrections 2

Path:    drawn batch -> train.steps.promptable -> [benchmark_train] -> one line of JSON
Units:   seconds; MB of 10^6 bytes, as the compiled program itself accounts for them.
Errors:  those of the step's options.
Differs: no optimiser and no input pipeline; gradients leave the program, so they count as output.
"""

import argparse
import json
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surgjax.models import sam2, variants
from surgjax.train.steps import promptable
from surgjax.train.steps.prompted_frame import PromptOptions

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


def measure(
    config: variants.Sam2Config,
    options: PromptOptions,
    batch: promptable.SceneBatch,
    dtype: str = "float32",
    steps: int = 3,
    kind: str = "clip",
) -> dict[str, Any]:
    """Figures of one compiled step; steps 0 compiles without running.

    kind: "clip", or "image" for the first frames alone.
    """
    model = sam2.Sam2(config, jnp.dtype(dtype))
    loss_fn = {"clip": promptable.clip_loss, "image": promptable.image_loss}[kind]

    def step(params: Any, batch: promptable.SceneBatch, key: jax.Array):
        return jax.value_and_grad(lambda p: loss_fn(model, p, batch, key, options), has_aux=True)(
            params
        )

    params = jax.tree.map(jnp.asarray, sam2.init_params(config, 0))
    args = params, jax.device_put(batch), jax.random.key(0)
    begin = time.perf_counter()
    lowered = jax.jit(step).lower(*args)
    traced, busy = time.perf_counter(), time.process_time()
    compiled = lowered.compile()
    found = {
        "trace_s": round(traced - begin, 1),
        "compile_s": round(time.perf_counter() - traced, 1),
        "compile_cpu_s": round(time.process_time() - busy, 1),  # what a shared machine leaves fair
        **program_memory(compiled),
    }
    times = []
    for _ in range(steps):
        begin, busy = time.perf_counter(), time.process_time()
        (loss, _), _ = jax.block_until_ready(compiled(*args))
        times.append((time.perf_counter() - begin, time.process_time() - busy))
        found["loss"] = round(float(loss), 5)
    if times:
        wall, cpu = np.median(np.array(times), 0)
        found |= {"step_s": round(float(wall), 3), "step_cpu_s": round(float(cpu), 3)}
    return found


def program_memory(compiled: Any) -> dict[str, float]:
    """What the program needs beside its arguments; empty where a backend does not say."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return {}
    names = ("argument", "output", "temp")
    return {f"{n}_mb": round(getattr(analysis, f"{n}_size_in_bytes") / MB, 1) for n in names}


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
    found = measure(config, options, batch, flags.dtype, flags.steps, flags.kind)
    device = jax.devices()[0].device_kind
    print(json.dumps(vars(flags) | {"device": device, "jax": jax.__version__} | found))


if __name__ == "__main__":
    main()
