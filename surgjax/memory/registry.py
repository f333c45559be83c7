"""Memory policies by name, with their options.

Path:    name, options -> [registry] -> MemoryPolicy -> stream
Axes:    none.
Units:   see the options of each policy.
Errors:  ValueError naming the policy or the option, what is known and what was found.
Source:  ours.
Differs: nothing to compare with.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.typing import DTypeLike

from surgjax.memory.diverse_memory import DIVEMEM, DLM, RANDOM_LONG, LongOptions, long_policy
from surgjax.memory.frame_pruning import PruningOptions, frame_pruning
from surgjax.memory.policies import MemoryPolicy, recent
from surgjax.memory.pooled_memory import PooledOptions, pooled


@dataclasses.dataclass(frozen=True)
class RecentOptions:
    """SAM 2's policy has none."""


class Policy(NamedTuple):
    """A policy: its options at their defaults, and build(config, options, cond_slots, dtype)."""

    defaults: Any  # a frozen dataclass of bool, int, float and str
    build: Callable[..., MemoryPolicy]
    about: str


def _recent(config, options: RecentOptions, cond_slots: int, dtype: DTypeLike) -> MemoryPolicy:
    return recent(config, cond_slots, dtype)


POLICIES: dict[str, Policy] = {
    "recent": Policy(RecentOptions(), _recent, "SAM 2: prompts and the latest frames"),
    "divemem": Policy(DIVEMEM, long_policy, "SAM2S: and diverse frames, kept for long"),
    "dlm": Policy(DLM, long_policy, "ReSurgSAM2: and diverse frames, kept for long"),
    "frame_pruning": Policy(PruningOptions(), frame_pruning, "Surgical-SAM-2: fewer of the latest"),
    "pooled": Policy(PooledOptions(), pooled, "for less: memories before the latest, averaged"),
    "random_long": Policy(RANDOM_LONG, long_policy, "control: and random frames, kept for long"),
}
NAMES = tuple(POLICIES)


def parse_options(text: str) -> dict[str, str]:
    """ "delta=30,long=3" as a dict of texts; ValueError where a part is no name=value."""
    values: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise ValueError(f"memory_options {part!r}: expected name=value.")
        if name in values:
            raise ValueError(f"memory_options {name}: given twice.")
        values[name] = value
    return values


def _typed(default: Any, value: Any, where: str) -> Any:
    """A text, or a value of the default's kind, as that kind."""
    kind = type(default)
    try:
        if isinstance(value, str) and kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[value.lower()]
        if isinstance(value, str):
            return kind(value)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is kind:
            return value
    except (KeyError, ValueError):
        pass
    raise ValueError(f"{where}: {kind.__name__} expected, found {value!r}.")


def options_for(name: str, options: Any = "", fps: float | None = None) -> Any:
    """The checked options of a policy, defaults where nothing is said.

    options: "delta=30,gamma=0.9", a mapping, or what an earlier call made. fps turns `delta_s` into
    frames.
    """
    if name not in POLICIES:
        raise ValueError(f"memory {name!r}: expected one of {', '.join(NAMES)}.")
    defaults = POLICIES[name].defaults
    if isinstance(options, type(defaults)):
        return options
    if not isinstance(options, str | Mapping):
        raise ValueError(f"memory {name}: options {options!r} are of another policy.")
    given = parse_options(options) if isinstance(options, str) else dict(options)
    known = [field.name for field in dataclasses.fields(defaults)]
    for option in given:
        if option not in known:
            listed = ", ".join(known) or "none"
            raise ValueError(
                f"memory {name}, memory_options {option}: not known; expected of {listed}."
            )
    if "delta" in given and "delta_s" in given:
        raise ValueError(f"memory {name}: delta and delta_s contradict each other.")
    typed = {
        option: _typed(getattr(defaults, option), value, f"memory {name}, memory_options {option}")
        for option, value in given.items()
    }
    try:
        made = dataclasses.replace(defaults, **typed)
        return made.at_rate(fps) if isinstance(made, LongOptions) else made
    except ValueError as error:
        raise ValueError(f"memory {name}, memory_options {error}") from None


def stated(name: str, options: Any) -> str:
    """The policy with every option, for summaries and records: "divemem(delta=5, ...)"."""
    values = dataclasses.asdict(options).items()
    listed = ", ".join(f"{option}={value}" for option, value in values)
    return f"{name}({listed})" if listed else name


def build_policy(
    name: str,
    config,
    options: Any = "",
    cond_slots: int = 16,
    dtype: DTypeLike = jnp.bfloat16,
    fps: float | None = None,
) -> MemoryPolicy:
    """The policy of a name for a `Sam2Config`; options as in `options_for`."""
    options = options_for(name, options, fps)
    try:
        return POLICIES[name].build(config, options, cond_slots, dtype)
    except ValueError as error:
        raise ValueError(f"memory {name}, memory_options {error}") from None
