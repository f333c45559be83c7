"""The script of a small operation: phases in order, and who does what to which organ, when.

Path:    config -> [procedure] -> operation -> scene; also phase labels and triplets of a clip
Axes:    arrays over frames are [T] or [T, N], N tools of the tray.
Units:   time in frames; `withdrawn` runs from 0 (at work) to 1 (outside the body).
Source:  phases after Cholec80 (arXiv:1602.03012), triplets after CholecT50 (arXiv:2109.03223).
Differs: frequencies, durations and the table are invented, not counted in any data set, and organs
         do not change by what is done to them, except that they follow a pull.
"""

import dataclasses

import numpy as np

PHASES = (
    "preparation",
    "calot_triangle_dissection",
    "clipping_cutting",
    "gallbladder_dissection",
    "gallbladder_packaging",
    "cleaning_coagulation",
    "gallbladder_retraction",
)
VERBS = (
    "grasp",
    "retract",
    "dissect",
    "cut",
    "clip",
    "coagulate",
    "aspirate",
    "irrigate",
    "palpate",
    "suture",
)
TARGETS = ("liver", "fat", "gallbladder", "duct", "artery")  # from back to front
HANDS = ("left", "right", "assistant")

_HOLD = (("grasper", "retract", "gallbladder", 3.0), ("fenestrated", "retract", "gallbladder", 2.0))
# phase -> hand -> (instrument kind, verb, target, weight); a hand without a line stays empty.
TRIPLETS: dict[str, dict[str, tuple[tuple[str, str, str, float], ...]]] = {
    "preparation": {
        "left": (("grasper", "retract", "gallbladder", 2.0), ("grasper", "grasp", "fat", 1.0)),
        "right": (
            ("grasper", "grasp", "fat", 1.0),
            ("probe", "palpate", "liver", 1.0),
            ("probe", "palpate", "gallbladder", 1.0),
        ),
    },
    "calot_triangle_dissection": {
        "left": _HOLD,
        "right": (
            ("hook", "dissect", "duct", 3.0),
            ("hook", "dissect", "artery", 2.0),
            ("bipolar", "coagulate", "artery", 1.0),
            ("grasper", "dissect", "fat", 1.0),
        ),
        "assistant": (("suction", "aspirate", "liver", 1.0), ("suction", "irrigate", "duct", 0.6)),
    },
    "clipping_cutting": {
        "left": _HOLD,
        "right": (
            ("clip_applier", "clip", "duct", 2.0),
            ("clip_applier", "clip", "artery", 2.0),
            ("scissors", "cut", "duct", 1.5),
            ("scissors", "cut", "artery", 1.5),
        ),
    },
    "gallbladder_dissection": {
        "left": _HOLD,
        "right": (
            ("hook", "dissect", "gallbladder", 3.0),
            ("scissors", "dissect", "gallbladder", 1.0),
            ("cone", "coagulate", "liver", 1.0),
        ),
        "assistant": (
            ("suction", "aspirate", "liver", 1.0),
            ("fenestrated", "retract", "liver", 1.0),
        ),
    },
    "gallbladder_packaging": {
        "left": (("grasper", "grasp", "gallbladder", 1.0),),
        "right": (("fenestrated", "grasp", "gallbladder", 1.0), ("grasper", "grasp", "fat", 0.5)),
    },
    "cleaning_coagulation": {
        "left": (("fenestrated", "retract", "liver", 1.0), ("grasper", "retract", "fat", 1.0)),
        "right": (
            ("bipolar", "coagulate", "liver", 2.0),
            ("needle_driver", "suture", "liver", 1.0),
            ("cone", "coagulate", "liver", 0.6),
        ),
        "assistant": (("suction", "irrigate", "liver", 1.0), ("suction", "aspirate", "liver", 1.5)),
    },
    "gallbladder_retraction": {
        "left": (("grasper", "retract", "gallbladder", 1.0),),
        "right": (("fenestrated", "grasp", "gallbladder", 1.0),),
    },
}

RAMP = 11  # frames from outside the body to work, and back
RESTING = 0.92  # how far withdrawn a tool is that waits in the body, out of view


@dataclasses.dataclass(frozen=True)
class Act:
    """One tool working at one place from frame `first` to `last`, both included."""

    tool: int
    first: int
    last: int
    verb: str
    target: str


@dataclasses.dataclass(frozen=True)
class Tool:
    """One instrument of the tray; it stays the same one for the whole operation."""

    kind: str
    hand: str


@dataclasses.dataclass(frozen=True)
class Script:
    """What happens. Acts may begin before frame 0 or end after the last one."""

    phase_ids: np.ndarray  # [T] int32, an index of PHASES
    tools: tuple[Tool, ...]
    acts: tuple[Act, ...]
    withdrawn: np.ndarray  # [T, N] float64
    in_body: np.ndarray  # [T, N] bool


def triplets_of(phase: str, hand: str, targets) -> list[tuple[str, str, str, float]]:
    """The lines of the table for which the target is there."""
    return [line for line in TRIPLETS[phase].get(hand, ()) if line[2] in targets]


def draw_script(rng, num_frames: int, targets, config) -> Script:
    """A window of `num_frames` on an operation that has begun before it."""
    before = int(rng.integers(25, 90))  # the first frame shows things already under way
    phases = _phases(rng, num_frames, before, config)
    tray: dict[Tool, int] = {}
    acts: list[Act] = []
    stays: list[tuple[int, int, float, float, bool]] = []
    for hand in HANDS:
        _play_hand(rng, hand, phases, targets, config, tray, acts, stays)
    total = before + num_frames
    withdrawn, in_body = np.ones((total, len(tray))), np.zeros((total, len(tray)), bool)
    for tool, first, level, new_level, inside in stays:  # in order of time for each tool
        stop = min(first + RAMP, total)
        x = np.arange(1, stop - first + 1) / RAMP
        withdrawn[first:stop, tool] = level + (new_level - level) * x * x * (3 - 2 * x)
        withdrawn[stop:, tool] = new_level
        in_body[first:stop, tool] = True
        in_body[stop:, tool] = inside
    shifted = [
        dataclasses.replace(act, first=act.first - before, last=act.last - before) for act in acts
    ]
    return Script(
        phases[before:].astype(np.int32),
        tuple(tray),
        tuple(shifted),
        withdrawn[before:],
        in_body[before:],
    )


def _phases(rng, num_frames, before, config) -> np.ndarray:
    """[before + T] phase of each frame: consecutive phases, as many as the clip has time for."""
    total = before + num_frames
    mean = sum(config.phase_frames) / 2
    count = int(np.clip(round(num_frames / mean), 1, len(PHASES)))
    first = int(rng.integers(0, len(PHASES) - count + 1))
    lengths = rng.uniform(*config.phase_frames, count)
    ends = before + np.cumsum(lengths) / lengths.sum() * num_frames
    return first + np.minimum(np.searchsorted(ends, np.arange(total), side="right"), count - 1)


def _play_hand(rng, hand, phases, targets, config, tray, acts, stays) -> None:
    """Fills the acts of one hand and its goings: (tool, frame, from, to, in the body after)."""
    total, time, held = len(phases), int(rng.integers(0, 12)), None
    while time < total:
        phase = phases[time]
        lines = triplets_of(PHASES[phase], hand, targets)
        if not lines:
            if held is not None:
                stays.append((held, time, 0.0, 1.0, False))
                held = None
            later = np.nonzero(phases[time:] != phase)[0]
            if not len(later):
                return
            time += max(RAMP, int(later[0])) + int(rng.integers(1, 8))
            continue
        weights = np.array([w * _liking(kind, config) for kind, _, _, w in lines])
        kind, verb, target, _ = lines[rng.choice(len(lines), p=weights / weights.sum())]
        if held is not None and held != tray.get(Tool(kind, hand)):
            stays.append((held, time, 0.0, 1.0, False))
            held, time = None, time + RAMP + int(rng.integers(2, 10))
        if held is None:
            if time >= total:
                return
            held = tray.setdefault(Tool(kind, hand), len(tray))
            stays.append((held, time, 1.0, 0.0, True))
            time += RAMP
        length = int(rng.integers(config.act_frames[0], config.act_frames[1] + 1))
        acts.append(Act(held, time, time + length - 1, verb, target))
        time += length + int(rng.integers(5, 12))
        time, held = _pause(rng, held, time, total, config, stays)


def _liking(kind: str, config) -> float:
    return config.favour if kind in config.favourite_kinds else 1.0


def _pause(rng, tool, time, total, config, stays):
    """Between two acts: goes on, waits out of view, or leaves the body. (time, tool in hand)"""
    fate = rng.random()
    if time >= total or fate >= config.p_rest + config.p_leave:
        return time, tool
    level, inside = (RESTING, True) if fate < config.p_rest else (1.0, False)
    stays.append((tool, time, 0.0, level, inside))
    low, high = 3, 21
    if inside and config.p_long_rest and rng.random() < config.p_long_rest:
        low, high = config.long_rest_frames
    time += RAMP + int(rng.integers(low, high + 1))
    if not inside:
        return time, None
    if time < total:
        stays.append((tool, time, level, 0.0, True))
    return time + RAMP, tool
