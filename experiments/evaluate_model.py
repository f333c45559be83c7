r"""Tracks a data set with simulated prompts, scores it, and writes masks, tables and a page.

  python -m experiments.evaluate_model --config=configs/evaluation/generated.py --output=DIR
  python -m experiments.evaluate_model --davis_root=DIR --checkpoint=FILE --output=DIR

Run again, it goes on after the last finished video. `surgjax.evaluation` does the work.
"""

import dataclasses
from typing import Any

from absl import app, flags
from ml_collections import config_flags

from experiments import process_flags
from experiments.command import command
from surgjax.evaluation import evaluate_model, model_options
from surgjax.evaluation.model_options import EvaluationOptions, ModelOptions
from surgjax.evaluation.shares import Share
from surgjax.inference.compilation_cache import enable_cache
from surgjax.memory.registry import NAMES
from surgjax.metrics.object_scores import PRESETS
from surgjax.train import distributed

_CONFIG = config_flags.DEFINE_config_file("config", lock_config=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for masks and reports.", required=True)
_DAVIS = flags.DEFINE_string("davis_root", None, "Folder with JPEGImages and Annotations.")
_COMPARE = flags.DEFINE_list("compare", [], "Folders of earlier reports, for report.html.")
# What a flag sets in the options; without it, the config's value or the default counts.
_SET = {
    "checkpoint": ("model", flags.DEFINE_string("checkpoint", None, "File, folder, or nano.")),
    "image_size": ("model", flags.DEFINE_integer("image_size", None, "Default: the model's own.")),
    "precision": (
        "model",
        flags.DEFINE_enum("precision", None, model_options.PRECISIONS, "Default: fp32."),
    ),
    "random_weights": (
        "model",
        flags.DEFINE_bool("random_weights", None, "--checkpoint then names a variant."),
    ),
    "folder": ("data", flags.DEFINE_string("data", None, "Folder of prepared sets.")),
    "split": ("data", flags.DEFINE_string("split", None, "Split, or list of ImageSets.")),
    "videos": ("data", flags.DEFINE_list("videos", None, "Only these.")),
    "fps": ("data", flags.DEFINE_float("fps", None, "Frames per second, for per_horizon.")),
    "late_start": ("data", flags.DEFINE_bool("late_start", None, "First frames may lack masks.")),
    "kind": (
        "prompts",
        flags.DEFINE_string("prompts", None, "mask, box, 1-click and so on, offline, online."),
    ),
    "use_all_masks": (
        "prompts",
        flags.DEFINE_bool("use_all_masks", None, "Prompt with the mask of every annotated frame."),
    ),
    "memory": ("", flags.DEFINE_enum("memory", None, NAMES, "Memory policy. Default: recent.")),
    "memory_options": (
        "",
        flags.DEFINE_string("memory_options", None, "Of that policy: delta=30,gamma=0.9."),
    ),
    "start": ("prompts", flags.DEFINE_string("start", None, "offline, online: the first prompt.")),
    "rounds": (
        "prompts",
        flags.DEFINE_integer("rounds", None, "offline, online: at most so many."),
    ),
    "clicks": (
        "prompts",
        flags.DEFINE_integer("clicks", None, "On each corrected frame, at most."),
    ),
    "threshold": (
        "prompts",
        flags.DEFINE_float("threshold", None, "online: IoU below which to stop."),
    ),
    "protocol": ("", flags.DEFINE_enum("protocol", None, list(PRESETS), "How to score.")),
    "keep_first_and_last": (
        "",
        flags.DEFINE_bool("keep_first_and_last", None, "davis17, sav: score those frames too."),
    ),
    "per_object_png": (
        "",
        flags.DEFINE_bool("per_object_png", None, "A folder of PNGs for each object."),
    ),
    "horizons_s": ("", flags.DEFINE_list("horizons_s", None, "Bounds of per_horizon, ascending.")),
}


def _value(name: str, value: Any) -> Any:
    if name == "horizons_s":
        try:
            return tuple(float(text) for text in value)
        except ValueError:
            raise ValueError(f"--horizons_s {','.join(value)}: numbers expected.") from None
    return tuple(value) if isinstance(value, list) else value


def options_from_flags() -> EvaluationOptions:
    """The config, or --davis_root alone, with what the other flags say."""
    if _CONFIG.value is not None:
        options = model_options.from_config(_CONFIG.value.to_dict())
    elif _DAVIS.value:
        data = model_options.DavisData()
        options = EvaluationOptions(ModelOptions(), data)
    else:
        raise ValueError("--config=FILE of configs/evaluation, or --davis_root=DIR, is missing.")
    if _DAVIS.value:
        if not isinstance(options.data, model_options.DavisData):
            raise ValueError("--davis_root: the config's data are of another kind.")
        data = dataclasses.replace(options.data, folder=_DAVIS.value)
        options = dataclasses.replace(options, data=data)
    for name, (part, flag) in _SET.items():
        if flag.value is None:
            continue
        value = _value(name, flag.value)
        if not part:
            options = dataclasses.replace(options, **{name: value})
            continue
        group = getattr(options, part)
        if not hasattr(group, name):
            raise ValueError(f"--{flag.name}: {type(group).__name__} has no such option.")
        changed: Any = dataclasses.replace(group, **{name: value})
        options = dataclasses.replace(options, **{part: changed})
    return options


def main(argv: list[str]) -> None:
    """Parses flags; bad input ends in one message and exit status 1."""
    with command(
        "evaluate_model",
        argv,
        interrupted="interrupted; the same command goes on after the last video.",
    ):
        options = options_from_flags()
        options.run_options()
        processes = process_flags.start()
        enable_cache()
        distributed.check_same("evaluation", repr(options))

        def wait(what: str) -> None:
            if processes.count > 1:  # a share may take much longer than another
                distributed.wait_for_all(what, timeout_s=14 * 86400)

        share = Share(processes.index, processes.count, wait)
        evaluate_model.run(options, _OUTPUT.value, share, compare=_COMPARE.value)


if __name__ == "__main__":
    app.run(main)
