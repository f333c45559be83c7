"""What a config file or flags say about an evaluation, checked value by value.

Path:    config, flags -> [from_config] -> EvaluationOptions -> model_run
Axes:    none.
Units:   pixels, frames per second, seconds.
Errors:  ValueError naming the key, what was expected and what was found.
Source:  ours.
Differs: nothing to compare with.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from surgjax.evaluation.davis_videos import DavisData
from surgjax.evaluation.horizons import BOUNDS_S
from surgjax.evaluation.model_run import Model, RunOptions
from surgjax.evaluation.model_tracking import PromptOptions
from surgjax.evaluation.our_segmenter import OurSegmenter
from surgjax.evaluation.set_videos import GeneratedData, PreparedData
from surgjax.memory.registry import options_for, stated

DATA = {"davis": DavisData, "prepared": PreparedData, "generated": GeneratedData}
PRECISIONS = ("fp32", "bf16")
Data = DavisData | PreparedData | GeneratedData


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """Which weights, and how they run."""

    checkpoint: str = "nano"  # a file, a folder, or the bundled nano
    image_size: int = 0  # 0: the variant's own
    precision: str = "fp32"
    random_weights: bool = False  # then `checkpoint` names a variant; masks mean nothing

    def check(self) -> None:
        """Refuses what no model takes."""
        if self.precision not in PRECISIONS:
            raise ValueError(f"--precision {self.precision}: expected of {', '.join(PRECISIONS)}.")
        if self.image_size < 0 or self.image_size % 32:
            raise ValueError(f"--image_size {self.image_size}: a multiple of 32 expected.")


@dataclasses.dataclass(frozen=True)
class EvaluationOptions:
    """All of it. See RunOptions and PromptOptions for the values they share."""

    model: ModelOptions = dataclasses.field(default_factory=ModelOptions)
    data: Data = dataclasses.field(default_factory=GeneratedData)
    prompts: PromptOptions = dataclasses.field(default_factory=PromptOptions)
    memory: str = "recent"  # the memory policy, see surgjax.memory.registry
    memory_options: str = ""  # "delta=30,gamma=0.9"
    protocol: str = "davis17"
    keep_first_and_last: bool = False
    per_object_png: bool = False
    horizons_s: tuple[float, ...] = BOUNDS_S

    def run_options(self) -> RunOptions:
        """What the run itself needs of them, checked."""
        names = [field.name for field in dataclasses.fields(RunOptions)]
        options = RunOptions(**{name: getattr(self, name) for name in names})
        self.model.check()
        self.policy()
        options.check()
        return options

    def policy(self) -> tuple[str, Any]:
        """The memory policy and its checked options; seconds count at the rate the data states."""
        fps = self.data.fps or None
        return self.memory, options_for(self.memory, self.memory_options, fps)

    def stated_split(self) -> str:
        """Which part of which data, for the report."""
        data = self.data
        if isinstance(data, GeneratedData):
            last = data.seed + data.count - 1
            return f"generated scenes {data.preset}, seeds {data.seed} to {last}"
        name = f"{data.set} {data.split}" if isinstance(data, PreparedData) else data.split
        return f"{name} {','.join(data.videos)}".strip()


def _build(cls: type, values: Any, where: str) -> Any:
    """A dataclass of plain values; each must be known and of the kind of its default."""
    if not isinstance(values, Mapping):
        raise ValueError(f"config {where}: a group of values expected, found {values!r}.")
    defaults = {field.name: field for field in dataclasses.fields(cls)}
    made = {}
    place = f"config {where}." if where else "config "
    for name, value in values.items():
        if name not in defaults:
            raise ValueError(f"{place}{name}: not known; expected of {', '.join(defaults)}.")
        default = getattr(cls(), name)
        made[name] = _like(default, value, f"{place}{name}")
    return cls(**made)


def _like(default: Any, value: Any, where: str) -> Any:
    if isinstance(default, tuple) and isinstance(value, list | tuple):
        return tuple(value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise ValueError(f"{where}: {type(default).__name__} expected, found {value!r}.")
    return value


def from_config(config: Mapping[str, Any]) -> EvaluationOptions:
    """The options of a config such as configs/evaluation/generated.py, as nested dicts."""
    values = {name: config[name] for name in config if name != "system"}
    data = dict(values.pop("data", {}))
    kind = data.pop("kind", None)
    if kind not in DATA:
        raise ValueError(f"config data.kind {kind!r}: expected one of {', '.join(DATA)}.")
    parts = {
        "model": _build(ModelOptions, values.pop("model", {}), "model"),
        "prompts": _build(PromptOptions, values.pop("prompts", {}), "prompts"),
        "data": _build(DATA[kind], data, "data"),
    }
    rest = {n: v for n, v in values.items() if n not in parts}
    plain = _build(EvaluationOptions, rest, "") if rest else EvaluationOptions()
    return dataclasses.replace(plain, **parts)


def open_model(
    options: ModelOptions,
    may_overlap: bool,
    corrected: bool = False,
    policy: tuple[str, Any] = ("recent", ""),
) -> Model:
    """Reads the weights; a predictor is made later, on each device.

    `may_overlap`: masks of objects are kept as they are; else each pixel goes to the object with
    the highest logit, as a palette PNG needs. `corrected`: frames are prompted again after they
    were tracked, for which the predictor keeps its records in a temporary file. `policy`: name and
    options of the memory policy.
    """
    from surgjax.inference import VideoPredictor
    from surgjax.inference.weights import load_weights

    options.check()
    size = options.image_size or None
    params, config, sha256 = load_weights(options.checkpoint, size, options.random_weights)

    memory, memory_options = policy
    if isinstance(memory_options, str):
        memory_options = options_for(memory, memory_options)

    def make() -> OurSegmenter:
        predictor = VideoPredictor(
            params,
            config,
            options.precision,
            non_overlap_masks=not may_overlap,
            keep_records=corrected,
            memory=memory,
            memory_options=memory_options,
        )
        predictor.checkpoint_sha256 = sha256
        return OurSegmenter(predictor, config.name)

    identity = {
        "variant": config.name,
        "image_size": config.image_size,
        "precision": options.precision,
        "weights": sha256 or "random",
    }
    named = "" if options.checkpoint == config.name else options.checkpoint
    name = f"{config.name} {named}".strip()
    if memory != "recent":  # runs from before there was a choice go on
        identity["memory"] = stated(memory, memory_options)
        name = f"{name}, {memory}"
    return Model(name, identity, make)
