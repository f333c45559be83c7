"""The real training launcher in child processes: a short run of SAM 2 on a drawn DAVIS folder."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.train import children

STEPS = 12

# Eight rows, so that every layout shares them out; a checkpoint every other step.
_CONFIG = """
from configs.promptable_sam2 import davis_folder

def get_config():
    c = davis_folder.get_config("debug")
    c.train_data.clip.batch = 8
    c.train_data.clip.sampler.objects = 1
    c.optim.update(lr=1e-3, encoder_lr=1e-3, final_lr=1e-4, encoder_final_lr=1e-4)
    c.optim.update(clip_norm=10.0)
    c.stages = ({"steps": %d, "shares": {"clip": 1.0}},)
    c.loop.update(checkpoint_every=2, eval_every=0, best_metric="box_iou")
    c.eval.update(images=1, videos=0, pictures=0)
    return c
"""


def write_config(folder: Path) -> Path:
    """The config file of all runs."""
    path = folder / "short.py"
    path.write_text(_CONFIG % STEPS)
    return path


def command(config: Path, data: Path, workdir: Path, cache: Path, *more: str) -> list[str]:
    words = ["-m", "experiments.promptable_sam2.main", f"--config={config}", f"--data={data}"]
    return [*words, f"--workdir={workdir}", f"--compile_cache={cache}", *more]


def start(words: Sequence[str], environment: Mapping[str, str] = {}) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=children.ROOT,
        env=os.environ | {"JAX_DEFAULT_MATMUL_PRECISION": "highest"} | dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def curve(workdir: Path) -> list[dict[str, float]]:
    """What every step computed, in order."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in x.items() if k != "step_ms"} for x in lines if "loss" in x]
