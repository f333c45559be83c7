"""Which part of a list of videos a process takes: --share=K/N, a SLURM array, tasks of srun.

Path:    flag, environment of the scheduler -> [shares] -> model_run, long videos, track_many
Axes:    none.
Units:   places count from 0.
Errors:  ValueError naming the flag or the variable, what was expected and what was found.
Source:  variables of SLURM's manuals of sbatch and srun.
Differs: shares are fixed by the place in the list, not claimed one by one: nothing has to be locked
         on a file system that several machines share, and a process that died leaves no claim.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True)
class Share:
    """Which part of the videos this process takes; `wait` holds it until all have come there."""

    index: int = 0
    count: int = 1
    wait: Callable[[str], None] = lambda what: None

    def __post_init__(self):
        if not 0 <= self.index < self.count:
            raise ValueError(f"--share {self.index}/{self.count}: 0/N to N-1/N expected.")

    def of(self, items: Sequence[Item], key: Callable[[Item], Any] | None = None) -> list[Item]:
        """Every N-th one, from the K-th on, in the order of `key`; the same for every start.

        Sorted by length, long and short ones are alike in every share.
        """
        ordered = list(items) if key is None else sorted(items, key=key)
        return ordered[self.index :: self.count]

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def parse_share(text: str) -> Share:
    """ "0/2" as a process's place and the number of processes."""
    place, _, of = text.partition("/")
    if not (place.isdigit() and of.isdigit()):
        raise ValueError(f"--share {text}: K/N expected.")
    return Share(int(place), int(of))


def find_share(text: str | None, environment: Mapping[str, str] | None = None) -> tuple[Share, str]:
    """The share of a flag, else that of SLURM, else everything; and where it comes from.

    An array of jobs, each with several tasks of srun, is as many processes as there are tasks.
    """
    env = os.environ if environment is None else environment
    if text:
        return parse_share(text), "--share"
    index, count, sources = 0, 1, []
    if env.get("SLURM_ARRAY_TASK_ID"):
        index, count = _array(env)
        sources.append("SLURM_ARRAY_TASK_ID")
    tasks = _number(env, "SLURM_STEP_NUM_TASKS") if "SLURM_STEP_NUM_TASKS" in env else 1
    if tasks > 1:
        index, count = index * tasks + _number(env, "SLURM_PROCID"), count * tasks
        sources.append("SLURM_PROCID")
    return Share(index, count), " and ".join(sources) or "one process"


def place_on_machine(share: Share, environment: Mapping[str, str] | None = None) -> int:
    """Which of the processes of this machine this one is, as far as is known."""
    env = os.environ if environment is None else environment
    if "SLURM_STEP_NUM_TASKS" in env and env.get("SLURM_LOCALID", "").isdigit():
        return int(env["SLURM_LOCALID"])
    return share.index


def _array(env: Mapping[str, str]) -> tuple[int, int]:
    """Ids may begin anywhere and go up in steps; a list with holes has no places to count."""
    task, first, last = (_number(env, f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "MIN", "MAX"))
    count = _number(env, "SLURM_ARRAY_TASK_COUNT")
    step = _number(env, "SLURM_ARRAY_TASK_STEP") if env.get("SLURM_ARRAY_TASK_STEP") else 1
    evenly = step > 0 and count == (last - first) // step + 1 and not (task - first) % step
    if not evenly or not first <= task <= last:
        raise ValueError(
            f"SLURM_ARRAY_TASK_ID {task} of {count} from {first} to {last}, step {step}: an array "
            "without holes expected, --array=0-7 for one; else pass --share=K/N."
        )
    return (task - first) // step, count


def _number(env: Mapping[str, str], name: str) -> int:
    text = env.get(name, "")
    if not text.isdigit():
        raise ValueError(f"environment variable {name}: a number expected, found {text!r}.")
    return int(text)
