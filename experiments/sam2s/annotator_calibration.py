r"""Are masks as sure as they should be? Runs trained with soft labels beside runs with hard ones.

  python -m experiments.sam2s.annotator_calibration --data=DATA --output=OUT \
    --soft=SOFT_0.safetensors,SOFT_1.safetensors --hard=HARD_0.safetensors,HARD_1.safetensors

The n-th of --soft and the n-th of --hard are a pair: the same seed and budget. Objects of frames
spread over a split are prompted with their tight box. Confidence is judged against masks that any
of the five raters might have drawn, which is what the runs were trained to predict, and against the
true masks; masks are judged against the true ones. Differences come with bootstrap intervals over
videos and pairs.
"""

import json
import os

from absl import app, flags, logging

from experiments.command import command
from experiments.promptable_sam2.sources import SetOptions, open_set
from experiments.sam2s.calibration_runs import compare, measure, table
from surgjax.checkpoints.atomic import atomic_file

_DATA = flags.DEFINE_string("data", None, "Folder of prepared sets.", required=True)
_DATASET = flags.DEFINE_string("dataset", "generated/long", "NAME or NAME/CONFIG.")
_SPLIT = flags.DEFINE_string("split", "test", "Split to score.")
_SOFT = flags.DEFINE_list("soft", None, "Weights trained with soft labels.", required=True)
_HARD = flags.DEFINE_list("hard", None, "Their controls, in the same order.", required=True)
_FRAMES = flags.DEFINE_integer("frames", 120, "Frames, spread over the split.", lower_bound=2)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of calibration.json.", required=True)


def main(argv: list[str]) -> None:
    """Parses flags; bad input ends in one message and exit status 1."""
    logging.set_verbosity(logging.WARNING)
    with command("annotator_calibration", argv):
        if len(_SOFT.value) != len(_HARD.value):
            raise ValueError(f"--soft {len(_SOFT.value)} files, --hard {len(_HARD.value)}: pairs.")
        prepared = open_set(_DATA.value, SetOptions(_DATASET.value, _SPLIT.value))
        sides = [
            [measure(weights, prepared, _SPLIT.value, _FRAMES.value) for weights in side]
            for side in (_SOFT.value, _HARD.value)
        ]
        found = compare(sides[0], sides[1])
        os.makedirs(_OUTPUT.value, exist_ok=True)
        path = os.path.join(_OUTPUT.value, "calibration.json")
        report = {"soft": _SOFT.value, "hard": _HARD.value, "measures": found}
        with atomic_file(path) as file:
            file.write_text(json.dumps(report, indent=2))
        print(table(found))
        print(f"wrote {path}")


if __name__ == "__main__":
    app.run(main)
