"""Whether a text bank is one that weights were trained with.

Path:    TextBank -> [trained_bank] -> Sam2Config.text_bank -> files; ObjectClassifier
Axes:    rows of a bank, one per instrument.
Units:   none.
Errors:  ValueError naming both banks.
Source:  ours.
Differs: nothing to differ from. A name that was never trained means something to a bank of CLIP,
         whose rows come from the text alone. Rows without language depend on their place in the
         list they were made from, so each must be the trained one of its name.
"""

import hashlib

import numpy as np

from surgjax.models.variants import TrainedBank
from surgjax.text.text_bank import CLIP, TextBank

_SUM = 16  # hexadecimal digits of a row's sum
_WEIGHTS = "weights"  # what a bank of CLIP calls the sum of them


def trained_bank(bank: TextBank) -> TrainedBank:
    """What weights keep of the bank they are trained with: its instruments."""
    chosen = bank.instruments()
    weights = chosen.inputs.get(_WEIGHTS, "")
    return TrainedBank(chosen.kind, chosen.sha256(), chosen.names, _rows(chosen), weights)


def check_bank(bank: TextBank, trained: TrainedBank | None) -> None:
    """Refuses a bank that would give wrong names; None: the weights do not say, nothing is known.

    Of CLIP: any classes, by the same text model. Of another kind: classes that were trained, each
    with the row it had then.
    """
    if trained is None:
        return
    found = trained_bank(bank)
    problem = None if found.sha256 == trained.sha256 else _problem(found, trained)
    if problem is not None:
        raise ValueError(
            f"text bank: {_said(found)}, but the weights were trained with {_said(trained)}: "
            f"{problem}."
        )


def _problem(found: TrainedBank, trained: TrainedBank) -> str | None:
    if found.kind != trained.kind:
        return "another kind"
    if found.kind == CLIP:
        same = found.weights == trained.weights or not (found.weights and trained.weights)
        return None if same else "other weights of CLIP"
    rows = dict(zip(trained.names, trained.rows, strict=True))
    for name, row in zip(found.names, found.rows, strict=True):
        if name not in rows:
            return f"{name!r} was not among the classes"
        if rows[name] != row:
            return f"{name!r} had another row, since rows depend on their place in the list"
    return None


def _rows(bank: TextBank) -> tuple[str, ...]:
    vectors = np.ascontiguousarray(bank.vectors, "<f4")
    return tuple(hashlib.sha256(row.tobytes()).hexdigest()[:_SUM] for row in vectors)


def _said(bank: TrainedBank) -> str:
    return f"{bank.kind} ({', '.join(bank.names)}; sha256 {bank.sha256[:12]})"
