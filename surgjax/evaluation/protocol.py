"""What a protocol over folders is: how to score one sequence, to merge, and to report.

Path:    mask_folders -> [Protocol: score -> merge -> report] -> folder_run
Axes:    none.
Units:   none.
Errors:  none.
Source:  ours.
Differs: nothing to compare with.
"""

import dataclasses
from collections.abc import Callable, Mapping
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
    merge: Callable[[Any, Any], Any]
    report: Callable[[Scored, Options], dict[str, Any]]  # "tables", "stems": not for JSON
    options: frozenset[str] = frozenset()  # fields of Options that it reads
    needs_ground_truth: bool = True


def merge_scored(protocol: Protocol, first: Scored, second: Scored) -> Scored:
    """The result of both, over different sequences."""
    return Scored(
        protocol.merge(first.state, second.state),
        first.notes + second.notes,
        {**first.stems, **second.stems},
    )
