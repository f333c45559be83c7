"""Compares the tensors of a file with those a model needs, strictly in both directions.

Path:    tables -> [key_check] -> torch_import, torch_export, orbax
Axes:    none.
Units:   none.
Errors:  `raise_problems` raises one CheckpointError with every kind of misfit in it.
Source:  ours.
Differs: torch's strict loading reports names and shapes in separate errors, and says nothing
         about types.
"""

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np

from surgjax.checkpoints.errors import CheckpointError

# What a file may store; each of them is exact in float32, the type of our params.
FLOATS = ("float32", "float16", "bfloat16")
_LISTED = 40


@dataclasses.dataclass(frozen=True)
class Problems:
    """What keeps a set of tensors from being the expected one."""

    missing: list[str]
    unexpected: list[str]
    wrong: list[str]  # name, expected and found shape or type
    expected: int

    @property
    def count(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.wrong)


def find_problems(
    found: Mapping[str, tuple[tuple[int, ...], str]],
    expected: Mapping[str, tuple[int, ...]],
    optional: Collection[str] = (),
) -> Problems:
    """`found` maps names to shape and type, `expected` to shapes; `optional` may be absent."""
    wrong = []
    for name, shape in expected.items():
        if name not in found:
            continue
        found_shape, dtype = found[name]
        if tuple(found_shape) != tuple(shape):
            wrong.append(f"{name}: expected shape {shape}, found {tuple(found_shape)}")
        elif dtype not in FLOATS:
            wrong.append(f"{name}: expected one of {', '.join(FLOATS)}, found {dtype}")
    return Problems(
        missing=[n for n in expected if n not in found and n not in optional],
        unexpected=[n for n in found if n not in expected],
        wrong=wrong,
        expected=len(expected),
    )


def shapes_of(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[tuple[int, ...], str]]:
    """What `find_problems` wants to know of each array."""
    return {name: (tuple(a.shape), a.dtype.name) for name, a in arrays.items()}


def raise_problems(problems: Problems, what: str) -> None:
    """Raises unless there are none; `what` says which file and which model do not fit."""
    if not problems.count:
        return
    parts = [
        ("missing", problems.missing),
        ("unexpected", problems.unexpected),
        ("of another shape or type", problems.wrong),
    ]
    counts = ", ".join(f"{len(names)} {kind}" for kind, names in parts)
    lines = [f"{what}: {counts} (of {problems.expected} tensors)."]
    for kind, names in parts:
        if names:
            lines.append(f"  {kind}:")
            lines += [f"    {name}" for name in names[:_LISTED]]
            if len(names) > _LISTED:
                lines.append(f"    ... and {len(names) - _LISTED} more")
    raise CheckpointError("\n".join(lines))
