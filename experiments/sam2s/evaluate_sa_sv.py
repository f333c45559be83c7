r"""Evaluates weights on SA-SV: J&F of three clicks by data set and horizon, averaged over sets.

  python -m experiments.sam2s.evaluate_sa_sv --data=DATA --checkpoint=RUN_DIR/export \
    --memory=divemem --memory_options=delta=10,gamma=0.9 --output=DIR

Run again, it goes on after the last finished video. `experiments.sam2s.sa_sv_evaluation` does the
work; which sets, the config's `test` says.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

from experiments.command import command
from experiments.sam2s.sa_sv_evaluation import SaSvOptions, evaluate
from experiments.sam2s.sa_sv_report import write_report
from surgjax.evaluation.shares import parse_share
from surgjax.inference.compilation_cache import enable_cache
from surgjax.inference.programs import PRECISIONS
from surgjax.memory.registry import NAMES

_CONFIG = config_flags.DEFINE_config_file("config", "configs/sam2s/sa_sv.py", lock_config=True)
flags.DEFINE_string("data", None, "Folder of prepared sets.", required=True)
flags.DEFINE_string("checkpoint", None, "File, folder, or nano.", required=True)
flags.DEFINE_enum("memory", "recent", NAMES, "Memory policy.")
flags.DEFINE_string("memory_options", "", "Of that policy: delta=30,gamma=0.9.")
flags.DEFINE_integer("image_size", None, "Default: the model's own.")
flags.DEFINE_enum("precision", "fp32", list(PRECISIONS), "Of the model.")
flags.DEFINE_bool("partial", False, "Evaluate the sets that are there.")
_SHARE = flags.DEFINE_string("share", "0/1", "K/N: this process does every N-th video, from K on.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for rows and reports.", required=True)


def options_from_flags() -> SaSvOptions:
    """Every option has the flag of its name."""
    values: dict[str, Any] = {
        field.name: flags.FLAGS[field.name].value
        for field in dataclasses.fields(SaSvOptions)
        if field.name != "share"
    }
    return SaSvOptions(**values, share=parse_share(_SHARE.value))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: list[str]) -> None:
    """Parses flags; bad input ends in one message and exit status 1."""
    logging.set_verbosity(logging.WARNING)  # TFDS tells what it loads
    with command(
        "evaluate_sa_sv",
        argv,
        interrupted="interrupted; the same command goes on after the last video.",
    ):
        options = options_from_flags()
        if "test" not in _CONFIG.value:
            raise ValueError("--config: it has no `test`; configs/sam2s/sa_sv.py is expected.")
        enable_cache()
        output = Path(_OUTPUT.value)
        report = evaluate(options, _CONFIG.value.test.to_dict(), output, _say)
        if report is None:
            _say("other shares are not finished yet; the last one writes the report.")
            return
        print(write_report(output, report))
        print(f"report.md and report.json in {output}")


if __name__ == "__main__":
    app.run(main)
