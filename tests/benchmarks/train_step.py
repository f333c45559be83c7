r"""Time and memory of one training step beside the original's own, on the same CPU, clip, prompts.

  python -m tests.benchmarks.train_step --variant nano --size 128

Path:    drawn batch, fresh weights -> the loop's update; SAM2Train, its losses, AdamW -> one line
         of JSON
Units:   seconds, of the clock and of the processor; MB of 10^6 bytes.
Errors:  FileNotFoundError without a checkout of sam2 1.1.0, see tests.parity.official_training;
         AssertionError where the losses of both sides differ by more than 1e-3.
Source:  sam2 1.1.0: training/model/sam2.py, training/loss_fns.py, training/optimizer.py.
Differs: a step is forward, loss, backward, clipping and AdamW with the rates by path of the
         original's fine-tuning; ours also keeps the running mean. Every object is prompted by a box
         on the first frame, which the given number of clicks then corrects; the other frames are
         tracked. Dropout is off, so that both sides have the same loss; where there are corrections
         these are drawn, and the losses differ a little. Steps of both sides take turns in one
         process with the same number of threads. Memory is measured in a process for each side:
         the most it holds during steps after the first one, beyond what it held before the weights
         were made. What compiling needs is said apart.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import numpy as np

MB = 1e6
STEP_ROUNDS = 2  # in the memory processes
Step = Callable[[], float]


def our_step(flags: argparse.Namespace) -> tuple[Step, dict[str, float]]:
    """Our compiled update, and what the compiled program says of its memory."""
    import jax
    import jax.numpy as jnp

    from experiments.benchmark_train import draw_batch, program_memory
    from surgjax.models import sam2, variants
    from surgjax.train import build_optimizer, init_state, learning_rate_schedule, recipes
    from surgjax.train.steps import promptable
    from surgjax.train.steps.prompt_options import sam2_finetuning
    from surgjax.train.update import make_step
    from tests.golden.clip_loss_case import OPTIMIZER

    config = variants.get_config(flags.variant, image_size=flags.size)
    config = config.replace(binarize_prompted_masks=False)
    options = sam2_finetuning(
        flags.size, mask_probability=0.0, box_probability=1.0, exact_box_probability=1.0,
        conditioning_frames=1, corrected_frames=1, corrections=flags.corrections,
        memory_dropout=False, remat=flags.remat,
    )  # fmt: skip
    model, recipe = sam2.Sam2(config), recipes.get_recipe("full")
    optimizer = build_optimizer(OPTIMIZER, trunk_blocks=sum(config.stages))
    rates = {k: np.float32(v) for k, v in learning_rate_schedule(OPTIMIZER, 100)(0).items()}
    params = jax.tree.map(jnp.asarray, sam2.init_params(config, 0))
    batch = jax.device_put(draw_batch(flags.clips, flags.frames, flags.objects, flags.size))
    state = init_state(params, optimizer, 0, recipe)

    def loss(params, batch, key):
        return promptable.clip_loss(model, params, batch, key, options)

    begin = time.perf_counter()
    compiled = make_step(loss, optimizer, 0.999, recipe=recipe).lower(state, batch, rates).compile()
    found = {"compile_s": round(time.perf_counter() - begin, 1), **program_memory(compiled)}
    del params
    held = [state]

    def step() -> float:
        held[0], metrics = compiled(held[0], batch, rates)
        return float(metrics["loss"])

    return step, found


def torch_step(flags: argparse.Namespace) -> tuple[Step, dict[str, float]]:
    """The original's training model with its losses and its optimizer."""
    import torch

    from experiments.benchmark_train import draw_batch
    from surgjax.checkpoints import export_official
    from surgjax.models import sam2, variants
    from tests.golden.make_training import original_optimizer
    from tests.parity import official_model, official_training

    checkout = official_training.folder()
    if checkout is None:
        raise FileNotFoundError("no checkout of sam2 1.1.0: set SURGJAX_OFFICIAL_SAM2.")
    torch.set_num_threads(flags.threads)
    config = variants.get_config(flags.variant, image_size=flags.size).replace(dropout=0.0)
    model = official_model.build(
        checkout, config, export_official(sam2.init_params(config, 0), config),
        prob_to_use_pt_input_for_train=1.0, prob_to_use_box_input_for_train=1.0,
        num_correction_pt_per_frame=flags.corrections, add_all_frames_to_correct_as_cond=True,
    ).train()  # fmt: skip
    if not flags.corrections:  # the original corrects a prompted frame at least once
        plain = model.prepare_prompt_inputs
        none: dict[str, Any] = {"frames_to_add_correction_pt": []}
        model.prepare_prompt_inputs = lambda *given: plain(*given) | none
    exact = importlib.import_module("sam2.modeling.sam2_utils").sample_box_points
    drawn = type(model).forward.__globals__
    drawn["sample_box_points"] = lambda masks: exact(masks, noise=0.0)
    criterion = official_model.criterion(checkout)
    optimizer, _ = original_optimizer(checkout, model)
    limit = official_training.recipe(checkout)["optim"]["gradient_clip"]
    batch = official_batch(draw_batch(flags.clips, flags.frames, flags.objects, flags.size))

    def step() -> float:
        optimizer.step_schedulers(0.0, 0)
        optimizer.optimizer.zero_grad(set_to_none=True)
        loss = criterion(model(batch), batch.masks)[official_training.CORE_LOSS]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), limit["max_norm"], limit["norm_type"])
        optimizer.optimizer.step()
        return loss.item()

    return step, {}


def official_batch(scenes: Any) -> Any:
    """A SceneBatch [B, T, ...] as the original's model reads its batches."""
    import torch

    from surgjax.models.variants import IMAGE_MEAN, IMAGE_STD

    mean, std = np.float32(IMAGE_MEAN), np.float32(IMAGE_STD)
    pixels = (scenes.frames / np.float32(255) - mean) / std
    clips, frames, objects, *size = scenes.masks.shape
    masks = np.moveaxis(scenes.masks, 1, 0).reshape(frames, clips * objects, *size)
    image = frames * np.arange(clips).repeat(objects) + np.arange(frames)[:, None]
    return types.SimpleNamespace(
        flat_img_batch=torch.from_numpy(pixels).flatten(0, 1).permute(0, 3, 1, 2).contiguous(),
        masks=torch.from_numpy(np.ascontiguousarray(masks)),
        num_frames=frames,
        flat_obj_to_img_idx=torch.from_numpy(image),
    )


SIDES = {"torch": torch_step, "ours": our_step}


def alternate(flags: argparse.Namespace) -> dict[str, Any]:
    """Medians of steps that take turns, and the ratio of ours to torch."""
    sides, first = {}, {}
    for name, make in SIDES.items():
        sides[name] = make(flags)
        first[name] = sides[name][0]()
        print(f"{name}: first loss {first[name]:.5f}", file=sys.stderr, flush=True)
    differ = abs(first["ours"] - first["torch"]) / abs(first["torch"])
    assert flags.corrections or differ < 1e-3, f"losses of the first step: {first}"
    spent = {name: [] for name in sides}
    for _ in range(flags.rounds):
        for name, (step, _) in sides.items():
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            spent[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    found: dict[str, Any] = {"first_loss": {k: round(v, 5) for k, v in first.items()}}
    medians = {name: np.median(np.array(times), 0) for name, times in spent.items()}
    for i, kind in enumerate(("step_s", "step_cpu_s")):
        found[kind] = {name: round(float(both[i]), 3) for name, both in medians.items()}
        found[kind]["ratio"] = round(float(medians["ours"][i] / medians["torch"][i]), 2)
    return found | {"program": sides["ours"][1]}


def resident(name: str) -> float:
    """VmRSS or VmHWM of this process in MB."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(name))
    return int(line.split()[1]) * 1024 / MB


def forget_peak() -> None:
    """Gives freed memory back, and starts the high-water mark anew."""
    import ctypes

    ctypes.CDLL("libc.so.6").malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def memory(flags: argparse.Namespace) -> dict[str, float]:
    """Of one side in this process."""
    framework = {"ours": "jax.numpy", "torch": "tests.golden.make_training"}[flags.side]
    importlib.import_module("tests.golden.clip_loss_case")
    importlib.import_module(framework)
    start = resident("VmRSS")
    step, _ = SIDES[flags.side](flags)
    step()
    whole = resident("VmHWM")
    forget_peak()
    held = resident("VmRSS")
    for _ in range(STEP_ROUNDS):
        step()
    peak = resident("VmHWM")
    values = dict(peak=peak - start, between_steps=held - start, with_first_step=whole - start)
    return {f"{key}_mb": round(value) for key, value in values.items()}


def memories(arguments: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for side in SIDES:
        command = [sys.executable, "-m", "tests.benchmarks.train_step", *arguments]
        done = subprocess.run([*command, "--side", side], stdout=subprocess.PIPE, check=True)
        found[side] = json.loads(done.stdout.splitlines()[-1])
    found["ratio"] = round(found["ours"]["peak_mb"] / found["torch"]["peak_mb"], 2)
    return found


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--variant", default="nano")
    for name, value, what in (
        ("size", 128, "side of the frames in pixels"),
        ("clips", 1, "clips of a batch"),
        ("frames", 4, "frames of a clip"),
        ("objects", 2, "objects of a clip"),
        ("corrections", 0, "clicks on the first frame after its box"),
        ("rounds", 7, "timed steps of each side"),
        ("threads", 2, "of both sides"),
    ):
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{what} ({value})")
    parser.add_argument("--remat", default="none", help="of ours; see layers.rematerialisation")
    parser.add_argument("--side", choices=tuple(SIDES), help="the memory of one side alone")
    flags = parser.parse_args(arguments)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: flags.threads])
    if flags.side:
        print(json.dumps(memory(flags)))
        return
    asked = {key: value for key, value in vars(flags).items() if key != "side"}
    speed = alternate(flags)
    print(json.dumps(speed), file=sys.stderr, flush=True)
    print(json.dumps(asked | speed | {"memory": memories(arguments)}))


if __name__ == "__main__":
    main(sys.argv[1:])
