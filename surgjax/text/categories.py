"""The 37 categories of SA-SV, and what each data set calls them.

Path:    categories.json -> [categories] -> class names and phrases -> templates, text_bank
         (data set, its class name) -> [categories] -> category -> row of a bank
Axes:    rows of a bank [n] int32, -1 where a class has none.
Units:   none.
Errors:  ValueError for a data set or a class name that the table does not have.
Source:  names read off the figure of SAM2S, arXiv:2511.16618 (the list itself is not published);
         class names of the builders in tfds_builders.
Differs: similar categories stay apart (needle driver and needle holder, bipolar and bipolar
         forceps): they are each other's negatives. A class that fits none is listed with a reason.
"""

import dataclasses
import functools
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surgjax.typing import Int32, NDArray, typechecked


@dataclasses.dataclass(frozen=True)
class TextClass:
    """What one row of a bank stands for."""

    name: str
    phrases: tuple[str, ...]  # put into the templates; a row is the mean over all of them
    is_instrument: bool  # only these take part in the contrastive loss


@dataclasses.dataclass(frozen=True)
class Source:
    """One data set: its class names by category, and those that have none."""

    same: Mapping[str, str]  # class name: category
    unmapped: Mapping[str, str]  # class name: reason
    is_user_named: bool  # its user chooses the names: a category's own name is understood


@functools.cache
def categories() -> tuple[TextClass, ...]:
    """All 37, tissues first."""
    return tuple(
        TextClass(entry["name"], tuple(entry["phrases"]), entry["is_instrument"])
        for entry in _table()["categories"]
    )


def instruments() -> tuple[TextClass, ...]:
    """The 21 that are brought into the body."""
    return tuple(one for one in categories() if one.is_instrument)


@functools.cache
def sources() -> dict[str, Source]:
    """Every data set of the table by the name of its builder."""
    found = {}
    for name, entry in _table()["sources"].items():
        reasons = {one: why for why, names in entry["unmapped"].items() for one in names}
        found[name] = Source(entry["same"], reasons, entry.get("user_named", False))
    return found


def category_of(source: str, name: str) -> str | None:
    """The category of a data set's class, or None where the table says that it has none."""
    if source not in sources():
        known = ", ".join(sources())
        raise ValueError(f"data set {source!r}: expected one of {known}.")
    entry = sources()[source]
    if name in entry.same:
        return entry.same[name]
    if entry.is_user_named:
        return name if any(name == one.name for one in categories()) else None
    if name not in entry.unmapped:
        known = ", ".join((*entry.same, *entry.unmapped))
        raise ValueError(f"class {name!r} of {source}: expected one of {known}.")
    return None


@typechecked
def bank_rows(
    bank_names: Sequence[str], source: str, class_names: Sequence[str]
) -> Int32[NDArray, "n"]:
    """The row of a bank for each class of a data set; -1: no category, or none in this bank.

    A bank of the data set's own classes is read by these, any other by categories. A data set that
    the table does not have, or whose user chooses the names, is read by its own names.
    """
    row = {name: number for number, name in enumerate(bank_names)}
    entry = sources().get(source)
    if entry is None:
        return np.array([row.get(name, -1) for name in class_names], np.int32)
    categories_of = [category_of(source, name) for name in class_names]  # which knows all of them
    if entry.is_user_named or row.keys() <= {*entry.same, *entry.unmapped}:
        return np.array([row.get(name, -1) for name in class_names], np.int32)
    return np.array([row.get(one, -1) if one else -1 for one in categories_of], np.int32)


@functools.cache
def _table() -> Any:
    file = importlib.resources.files("surgjax.text").joinpath("categories.json")
    return json.loads(file.read_text(encoding="utf-8"))
