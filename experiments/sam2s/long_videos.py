r"""Compares memory policies on long videos: J&F by the time since the prompt, returns, swaps.

  python -m experiments.sam2s.long_videos --data=DATA --output=DIR \
    --checkpoints=seed0.safetensors,seed1.safetensors \
    --memory="recent,divemem:gamma=0.9;delta=10,random_long"

Run again, it goes on after the last finished video. `experiments.sam2s.long_run` does the work.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from absl import app, flags, logging

from experiments.chosen_text_bank import about, open_bank
from experiments.command import command
from experiments.sam2s.long_data import LongOptions
from experiments.sam2s.long_report import write_report
from experiments.sam2s.long_run import LongRun
from experiments.sam2s.long_tables import finished_videos, summarise
from surgjax.evaluation.shares import parse_share
from surgjax.inference.compilation_cache import enable_cache
from surgjax.inference.programs import PRECISIONS

_DEFAULT = LongOptions()
flags.DEFINE_list("checkpoints", list(_DEFAULT.checkpoints), "Files, folders or nano: the seeds.")
flags.DEFINE_string("memory", _DEFAULT.memory, "Policies: NAME or NAME:option=value;option=value.")
flags.DEFINE_string("data", _DEFAULT.data, "Folder of prepared sets.")
flags.DEFINE_string("dataset", _DEFAULT.dataset, "Prepared set.")
flags.DEFINE_string("split", _DEFAULT.split, "Its split.")
flags.DEFINE_integer("videos", 0, "The first so many by name. 0: all.", lower_bound=0)
flags.DEFINE_integer("objects", 0, "Of a video, the first so many by id. 0: all.", lower_bound=0)
flags.DEFINE_bool("instruments", True, "Instruments alone; otherwise tissue too.")
flags.DEFINE_integer("returning", 0, "Objects back after so many frames of absence alone. 0: all.")
flags.DEFINE_string("prompt", _DEFAULT.prompt, "3-click, another number of clicks, box or mask.")
flags.DEFINE_float("min_area", 0.0, "Share of the frame that the prompted frame shows, at least.")
flags.DEFINE_integer("image_size", None, "Default: the model's own.")
flags.DEFINE_enum("precision", _DEFAULT.precision, list(PRECISIONS), "Of the model.")
_ABSENCE = flags.DEFINE_integer("absence", 100, "Frames out of sight: an absence.", lower_bound=1)
_SHARE = flags.DEFINE_string("share", "0/1", "K/N: this process does every N-th video, from K on.")
_BANK = flags.DEFINE_string("text_bank", None, "Text vectors: a file, or fallback:CLASSES.")
_GATE = flags.DEFINE_float(
    "class_gate", 0.0, "Also without masks whose first class is less probable.", 0, 1
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for rows and reports.", required=True)


def options_from_flags() -> LongOptions:
    """Every option has the flag of its name."""
    values: dict[str, Any] = {
        field.name: flags.FLAGS[field.name].value
        for field in dataclasses.fields(LongOptions)
        if field.name != "share"
    }
    values["checkpoints"] = tuple(values["checkpoints"])
    return LongOptions(**values, share=parse_share(_SHARE.value))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: list[str]) -> None:
    """Parses flags; bad input ends in one message and exit status 1."""
    logging.set_verbosity(logging.WARNING)  # TFDS tells what it loads
    with command(
        "long_videos",
        argv,
        interrupted="interrupted; the same command goes on after the last video.",
    ):
        options = options_from_flags()
        options.check()
        bank = open_bank("--text_bank", _BANK.value) if _BANK.value else None
        if bank is not None:
            _say(about(bank))
        enable_cache()
        output = Path(_OUTPUT.value)
        run = LongRun.open(options, output, bank)
        run.track(_say)
        if options.share.count > 1:
            run = LongRun.open(options, output, bank)  # other processes may have finished some
        if not finished_videos(run):
            _say("other shares are not finished yet; the last one writes the tables.")
            return
        print(write_report(output, summarise(run, _ABSENCE.value, _GATE.value)))
        print(f"written to {output}")


if __name__ == "__main__":
    app.run(main)
