r"""Scores a model on corrupted frames: image point, image box, video point, by task and severity.

  python -m experiments.robustness --checkpoint=nano --data=generated:simple --output=DIR
  python -m experiments.robustness --checkpoint=FILE --data=DIR --output=DIR

The data folder holds `frames`, `instances`, and for the tasks parts and type, `parts`, `types`.
A run that stopped goes on when the command is repeated. `surgjax.evaluation` does the work.
"""

import functools

from absl import app, flags

from experiments.command import command
from surgjax.evaluation import robustness_page, robustness_tables
from surgjax.evaluation.our_segmenter import OurSegmenter
from surgjax.evaluation.robustness_cases import GENERATED, Cases, generate, open_folder
from surgjax.evaluation.robustness_prompts import OBJECTS_AT_ONCE
from surgjax.evaluation.robustness_run import Plan, run
from surgjax.evaluation.robustness_tables import MODES, SETS
from surgjax.inference import ImagePredictor, VideoPredictor
from surgjax.inference.compilation_cache import enable_cache
from surgjax.inference.programs import PRECISIONS

_CHECKPOINT = flags.DEFINE_string("checkpoint", "nano", "A file, a folder, or the bundled nano.")
_DATA = flags.DEFINE_string("data", None, "Folder, or generated:PRESET.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for cells and reports.", required=True)
_MODES = flags.DEFINE_list("modes", list(MODES), "Prompts.")
_TASKS = flags.DEFINE_list("tasks", None, "Default: binary, parts, type, where the truth has them.")
_CORRUPTIONS = flags.DEFINE_list(
    "corruptions", list(SETS["corruptions"]), "Of the 18; empty: none."
)
_SURGICAL = flags.DEFINE_list("surgical", list(SETS["surgical"]), "Of the six; empty: none.")
_SEVERITIES = flags.DEFINE_list("severities", ["1", "2", "3", "4", "5"], "1 to 5.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the corruptions.")
_SPLIT = flags.DEFINE_string("split", "not stated", "Printed: which split this is.")
_SIZE = flags.DEFINE_integer("image_size", None, "Of the model; default: the checkpoint's own.")
_PRECISION = flags.DEFINE_enum("precision", "fp32", tuple(PRECISIONS), "Compute precision.")
_IMAGES = flags.DEFINE_integer("images", 8, "generated: images.", lower_bound=1)
_CLIPS = flags.DEFINE_integer("clips", 2, "generated: clips.", lower_bound=1)
_FRAMES = flags.DEFINE_integer("frames", 12, "generated: frames of a clip.", lower_bound=2)
_SIDE = flags.DEFINE_integer("size", 256, "generated: pixels.", lower_bound=64)


def _cases() -> Cases:
    kind, _, preset = _DATA.value.partition(":")
    if kind == GENERATED and preset:
        return generate(preset, _IMAGES.value, _CLIPS.value, _FRAMES.value, _SIDE.value)
    return open_folder(_DATA.value)


def _plan(cases: Cases) -> Plan:
    tasks = tuple(_TASKS.value or cases.tasks)
    if missing := [task for task in tasks if task not in cases.tasks]:
        raise ValueError(f"--tasks: {_DATA.value} has no truth for {', '.join(missing)}.")
    try:
        severities = tuple(map(int, _SEVERITIES.value))
    except ValueError:
        raise ValueError(f"--severities {_SEVERITIES.value}: expected whole numbers.") from None
    return Plan(
        modes=tuple(_MODES.value),
        tasks=tasks,
        corruptions=tuple(_CORRUPTIONS.value),
        surgical=tuple(_SURGICAL.value),
        severities=severities,
        seed=_SEED.value,
    )


def evaluate() -> None:
    """Runs what is missing, writes, prints."""
    enable_cache()
    cases = _cases()
    plan = _plan(cases)
    weights = (_CHECKPOINT.value, _SIZE.value, _PRECISION.value)
    video = VideoPredictor.from_checkpoint(*weights, keep_records=False)
    image = ImagePredictor.from_checkpoint(*weights)
    side = video.config.image_size
    model = f"{video.checkpoint_sha256} {side} px {_PRECISION.value}"
    say = functools.partial(print, flush=True)
    segmenter = OurSegmenter(video, _CHECKPOINT.value, OBJECTS_AT_ONCE)
    scores = run(cases, plan, image, segmenter, _OUTPUT.value, model, say)
    settings = {"checkpoint": _CHECKPOINT.value, "model": model, **cases.description}
    report = robustness_tables.build_report(scores, settings | {"seed": plan.seed}, _SPLIT.value)
    files = robustness_page.write(report, _OUTPUT.value)
    print(robustness_page.summary_text(report))
    print(f"\n{', '.join(path.name for path in files)} in {_OUTPUT.value}")


def main(argv: list[str]) -> None:
    """Parses flags; bad input ends in one message and exit status 1."""
    with command("robustness", argv, interrupted="interrupted; the same command goes on."):
        evaluate()


if __name__ == "__main__":
    app.run(main)
