"""What tracking a video file is asked to do, and the predictor that this asks for.

Path:    flags of `track` and `track_many` -> [track_options] -> tracking
Axes:    none.
Units:   frames per second; pixels.
Errors:  ValueError naming the flag, what was expected and what was found.
Source:  ours.
Differs: nothing to compare with.
"""

import dataclasses
from typing import Any

from experiments.chosen_text_bank import open_bank
from surgjax.memory.registry import NAMES, options_for
from surgjax.text.text_bank import TextBank

MODELS = ("nano", "tiny", "small", "base_plus", "large")
MEMORIES = NAMES
PRECISIONS = ("fp32", "bf16")
DIRECTIONS = ("forward", "backward", "both")


@dataclasses.dataclass(frozen=True)
class TrackOptions:
    """The flags of the command; the same names and defaults."""

    video: Any  # a path; from code, anything `open_video` takes that is not live
    prompts: str
    output: str
    checkpoint: str | None = None
    model: str | None = None
    image_size: int | None = None
    precision: str = "fp32"
    memory: str = "recent"  # the policy, see docs/memory_policies.md
    memory_options: Any = ""  # a text, or what options_for made of it
    direction: str = "forward"
    per_object_masks: bool = False
    overwrite: bool = False
    resume: bool = False  # go on with what an interrupted run has left in `output`
    snapshot_every: int = 500  # frames; at most so many are tracked again after a kill
    chunk: int = 1  # frames that one program tracks
    fps: float = 25.0
    require_accelerator: bool = False
    random_weights: bool = False
    text_bank: str | None = None  # of a model with a semantic token: what objects may be
    per_frame_classes: bool = False


def check_model(options: Any) -> None:
    """What is wrong with the flags that choose a model, which `segment_everything` has too."""
    if options.image_size is not None and (options.image_size <= 0 or options.image_size % 32):
        raise ValueError(f"--image_size={options.image_size}: a multiple of 32 expected.")
    if options.precision not in PRECISIONS:
        raise ValueError(f"--precision={options.precision}: one of {', '.join(PRECISIONS)}.")
    if options.checkpoint and options.random_weights:
        raise ValueError("--checkpoint and --random_weights contradict each other.")
    if options.model not in (None, "nano") and not (options.checkpoint or options.random_weights):
        raise ValueError(
            f"--model={options.model} needs --checkpoint=PATH (an official .pt, a safetensors file "
            "or an Orbax folder), or --random_weights to try it without one; only nano is bundled."
        )


def check_options(options: TrackOptions) -> None:
    """What is wrong with the flags alone, before any file is touched."""
    check_model(options)
    options_for(options.memory, options.memory_options, options.fps)
    if not 0.01 <= options.fps <= 1000:
        raise ValueError(f"--fps={options.fps:g}: a rate from 0.01 to 1000 expected.")
    if options.direction not in DIRECTIONS:
        raise ValueError(f"--direction={options.direction}: one of {', '.join(DIRECTIONS)}.")
    if options.per_frame_classes and not options.text_bank:
        raise ValueError("--per_frame_classes needs --text_bank=FILE.")
    if options.resume and options.overwrite:
        raise ValueError("--resume and --overwrite contradict each other.")
    if options.chunk < 1:
        raise ValueError(f"--chunk={options.chunk}: 1 frame or more expected.")
    if options.snapshot_every < 1:
        raise ValueError(f"--snapshot_every={options.snapshot_every}: 1 frame or more expected.")


def bank_of(options: TrackOptions) -> TextBank | None:
    """The instruments of the bank that `--text_bank` names, if it names one."""
    return open_bank("--text_bank", options.text_bank) if options.text_bank else None


def load_predictor(options: TrackOptions):
    """The predictor that the options ask for."""
    from surgjax.inference.video import VideoPredictor

    predictor = VideoPredictor.from_checkpoint(
        options.checkpoint or options.model or "nano",
        image_size=options.image_size,
        precision=options.precision,
        random_weights=options.random_weights,
        memory=options.memory,
        memory_options=options.memory_options,
        keep_records=False,  # one pass per direction: nothing is corrected afterwards
        chunk=options.chunk,
        text_bank=bank_of(options),
    )
    predictor.programs.on_compile = lambda what: None  # one notice stands for all programs
    if options.checkpoint and options.model not in (None, predictor.config.name):
        raise ValueError(
            f"--model={options.model}, but {options.checkpoint} holds {predictor.config.name}; "
            "leave --model out, it is inferred."
        )
    return predictor
