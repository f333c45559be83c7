"""Flags of the video benchmark, what is wrong with them, and the number of threads.

Path:    flags -> [options] -> run
Units:   frames of the video, from 0; pixels.
Errors:  ValueError naming the flag, what was expected and what was found.
Source:  ours.
Differs: nothing here imports JAX or torch: both size their thread pools by the processors that the
         process may use, which `use_threads` therefore sets before either is imported.
"""

import dataclasses
import importlib.util
import math
import os
from pathlib import Path

from surgjax.models.variants import OFFICIAL, VARIANTS

MODELS = tuple(VARIANTS)
PRECISIONS = ("fp32", "bf16")
PEERS = ("torch", "official")
WARM_FRAMES = 8  # then SAM 2's ring of six recent memories is full, and so is ours
DEFAULT_ROUNDS = 5
MAX_OBJECTS = 254


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions:
    """The flags of the command; the same names and defaults."""

    model: str | None = None
    checkpoint: str | None = None
    image_size: int | None = None
    precision: str = "fp32"
    memory: str = "recent"
    memory_options: str = ""
    objects: int = 1
    streams: int = 1
    chunk: int = 1
    frames: int = 48
    video: str | None = None
    threads: int | None = None
    compare: str | None = None
    official_repo: str | None = None
    peer_autocast: str | None = None
    peer_compile: bool = False
    rounds: int | None = None
    memory_runs: bool = True
    output: str | None = None

    @property
    def round_count(self) -> int:
        return DEFAULT_ROUNDS if self.rounds is None else self.rounds

    @property
    def warm_steps(self) -> int:
        """The prompted frame, and the steps (a frame, or a chunk) on which the memory fills up."""
        return 1 + math.ceil((WARM_FRAMES - 1) / self.chunk)

    @property
    def warm_frames(self) -> int:
        return 1 + (self.warm_steps - 1) * self.chunk

    @property
    def steps_per_round(self) -> int:
        """Of each side; without a peer all that comes after the warm-up is one round."""
        timed = (self.frames - self.warm_frames) // self.chunk
        return timed // self.round_count if self.compare else timed


def check_options(options: BenchmarkOptions) -> None:
    """What is wrong with the flags, before anything heavy is imported."""
    o = options
    if o.model is not None and o.model not in MODELS:
        raise ValueError(f"--model={o.model}: one of {', '.join(MODELS)} expected.")
    if o.image_size is not None and (o.image_size <= 0 or o.image_size % 32):
        raise ValueError(f"--image_size={o.image_size}: a multiple of 32 expected.")
    if o.precision not in PRECISIONS:
        raise ValueError(f"--precision={o.precision}: one of {', '.join(PRECISIONS)} expected.")
    if not 1 <= o.objects <= MAX_OBJECTS:
        raise ValueError(f"--objects={o.objects}: 1 to {MAX_OBJECTS} expected.")
    for name in ("streams", "chunk"):
        value = getattr(o, name)
        if value < 1:
            raise ValueError(f"--{name}={value}: at least 1 expected.")
        if value > 1 and o.compare:
            raise ValueError(
                f"--{name}={value} does not go with --compare: peers take one frame of one video "
                "at a time."
            )
    if o.threads is not None:
        _check_threads(o.threads)
    for name in ("checkpoint", "video"):
        path = getattr(o, name)
        if path is not None and not Path(path).exists():
            raise ValueError(f"--{name}={path}: no such file or folder.")
    _check_frames(o)
    _check_peer(o)
    if o.output is not None:
        _check_output(Path(o.output))


def _check_frames(o: BenchmarkOptions) -> None:
    warm = o.warm_frames
    if o.frames <= warm:
        raise ValueError(
            f"--frames={o.frames}: more than {warm} expected; those are warm-up, and are not "
            "counted."
        )
    part = (o.frames - warm) % o.chunk
    if part:
        raise ValueError(
            f"--frames={o.frames}, --chunk={o.chunk}: {warm} frames of warm-up and whole chunks "
            f"expected; --frames={o.frames + o.chunk - part} would do."
        )
    if not o.compare:
        if o.rounds is not None:
            raise ValueError("--rounds needs --compare: without a peer there are no turns to take.")
        return
    rounds = o.round_count
    if rounds < 1:
        raise ValueError(f"--rounds={rounds}: at least 1 expected.")
    rest = (o.frames - WARM_FRAMES) % rounds
    if rest:
        near = o.frames + rounds - rest
        raise ValueError(
            f"--frames={o.frames}, --rounds={rounds}: {WARM_FRAMES} frames of warm-up and as many "
            f"frames in every round expected; --frames={near} would do."
        )


def _check_peer(o: BenchmarkOptions) -> None:
    if o.compare is None:
        for name in ("official_repo", "peer_autocast", "peer_compile"):
            if getattr(o, name):
                raise ValueError(f"--{name} needs --compare.")
        return
    if o.compare not in PEERS:
        raise ValueError(f"--compare={o.compare}: one of {', '.join(PEERS)} expected.")
    if o.peer_autocast not in (None, "bf16"):
        raise ValueError(f"--peer_autocast={o.peer_autocast}: bf16 expected, or no such flag.")
    if o.compare == "torch" and o.official_repo is not None:
        raise ValueError("--official_repo goes with --compare=official, found --compare=torch.")
    for package in ("torch", "transformers") if o.compare == "torch" else ("torch",):
        if importlib.util.find_spec(package) is None:
            raise ValueError(
                f"--compare={o.compare} needs {package}, which is not installed: "
                "pip install -c constraints.txt -e '.[torch]'"
            )
    if o.compare == "official":
        _check_official(o)


def _check_official(o: BenchmarkOptions) -> None:
    if o.official_repo is None:
        raise ValueError(
            "--compare=official needs --official_repo=PATH, a checkout of facebookresearch/sam2 "
            "or a folder that sam2 1.1.0 was installed into (`make parity-official` makes "
            "parity_output/sam2)."
        )
    builder = Path(o.official_repo) / "sam2" / "sam2_video_predictor.py"
    if not builder.is_file():
        raise ValueError(f"--official_repo={o.official_repo}: {builder} expected, not found.")
    if o.checkpoint is None and o.model not in OFFICIAL:
        raise ValueError(
            f"--model={o.model or 'nano'}: the original has {', '.join(OFFICIAL)} only; "
            "--compare=torch takes any model."
        )


def _check_output(path: Path) -> None:
    if path.suffix != ".json":
        raise ValueError(f"--output={path}: the name of a .json file expected.")
    if path.is_dir():
        raise ValueError(f"--output={path}: a file expected, this is a folder.")
    if not path.parent.is_dir():
        raise ValueError(f"--output={path}: the folder {path.parent} does not exist.")


def available_threads() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_threads(threads: int) -> None:
    if not 1 <= threads <= available_threads():
        raise ValueError(
            f"--threads={threads}: 1 to {available_threads()} expected, the processors that this "
            "process may use."
        )
    if threads != available_threads() and not hasattr(os, "sched_setaffinity"):
        raise ValueError(f"--threads={threads}: this system cannot bind a process to processors.")


def use_threads(threads: int | None) -> int:
    """Keeps the process on so many processors, for good; call it before JAX or torch is imported.

    XLA has no flag for the size of its pool: it counts the processors it may run on. None leaves
    things as they are. Returns the number.
    """
    if threads is None:
        return available_threads()
    _check_threads(threads)
    if threads != available_threads():
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    return threads
