"""What a protocol over folders is: how to score one sequence, to merge, and to report.

Path:    mask_folders -> [Protocol: score -> join -> report] -> folder_run
Axes:    none.
Units:   none.
Errors:  none.
Source:  ours.
Differs: nothing to compare with.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from surgjax.evaluation.options import Options


@dataclasses.dataclass(frozen=True)
class Scored:
    """What was found in some sequences."""

    state: Any
    notes: tuple[str, ...] = ()
    stems: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """One way to score; new ones are added to folder_protocols.PROTOCOLS."""

    name: str
    score: Callable[[Any, Options], Scored]  # of one Pair, or one SequenceFiles without target
    join: Callable[[Sequence[Any]], Any]  # the states of all sequences, at once
    report: Callable[[Scored, Options], dict[str, Any]]  # "tables", "stems": not for JSON
    options: frozenset[str] = frozenset()  # fields of Options that it reads
    needs_ground_truth: bool = True


def join_scored(protocol: Protocol, parts: Iterable[Scored]) -> Scored:
    """The result of all parts, over different sequences; each is visited once."""
    states, notes, stems = [], [], {}
    for part in parts:
        states.append(part.state)
        notes += part.notes
        stems.update(part.stems)
    return Scored(protocol.join(states), tuple(notes), stems)
