"""Sentences of the training frames of Ref-EndoVis, from what Meta says of an object.

Path:    Meta/seq_N.json -> [sentences] -> referring
Axes:    none.
Units:   actions 1 to 13 (0: tissue, which does nothing), places 1 to 9 from the bottom left.
Errors:  LabelError for a number without a meaning.
Source:  ReSurgSAM2 (arXiv:2505.08581), training/dataset/rvos_expression.py.
"""

from tfds_builders.kit.archive import LabelError

ACTIONS = (
    "idle",
    "manipulating tool",
    "performing knot tying",
    "suturing tissue",
    "manipulating tissue",
    "grasping tissue",
    "retracting tissue",
    "cutting tissue",
    "suctioning blood",
    "clipping tissue",
    "sensing vessels",
    "transecting vessel",
    "cauterizing tissue",
)
PLACES = (
    "bottom left",
    "bottom center",
    "bottom right",
    "left",
    "center",
    "right",
    "top left",
    "top center",
    "top right",
)


def sentence(category: str, action: int, place: int | None, where: str) -> str:
    """`bipolar forceps are idle on the left`; without a place where `place` is None.

    `where` is the file that errors name.
    """
    if action == 0:
        return category
    words = [category, "are" if category.endswith("s") else "is", _of(ACTIONS, action, where)]
    if place is not None:
        words += ["on the", _of(PLACES, place, where)]
    return " ".join(words)


def _of(names: tuple[str, ...], number: int, where: str) -> str:
    if not 1 <= number <= len(names):
        kind = "action" if names is ACTIONS else "location"
        raise LabelError(
            f"{where}: unknown label: {kind} {number}; expected 1 to {len(names)}"
            f"{' or 0' if names is ACTIONS else ''}."
        )
    return names[number - 1]
