"""Which classes a text bank holds: what `--classes` may say.

Path:    --classes -> [text_bank_classes] -> TextClass -> text bank
Axes:    none.
Units:   none.
Errors:  ValueError naming the flag, the file and what is wrong in it.
Source:  ours.
Differs: nothing to differ from.
"""

import json
from pathlib import Path
from typing import Any

from surgjax.text.categories import TextClass, categories, instruments
from tfds_builders import registry

PRESETS = {"sa_sv": categories, "sa_sv_instruments": instruments}


def read_classes(value: str) -> tuple[TextClass, ...]:
    """A preset, a data set, SA-SV categories by name, or a JSON file of one's own."""
    if value in PRESETS:
        return PRESETS[value]()
    if value.endswith(".json"):
        return _from_file(Path(value))
    if value in registry.NAMES:
        return _from_builder(value)
    known = {one.name: one for one in categories()}
    names = [name.strip() for name in value.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"--classes: {unknown[0]!r} is unknown; expected {', '.join(PRESETS)}, a data set with "
            "a builder, a .json file, or categories of SA-SV separated by commas."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"--classes: a name occurs twice in {value!r}.")
    return tuple(known[name] for name in names)


def _from_builder(name: str) -> tuple[TextClass, ...]:
    """The classes of a data set under its own names."""
    found = vars(registry.builder_class(name)).get("CATEGORIES")
    if not isinstance(found, dict):
        raise ValueError(
            f"--classes: {name} has no single list of classes; write them into a .json file."
        )
    return tuple(TextClass(one, (one,), flag) for one, flag in found.items())


def _from_file(path: Path) -> tuple[TextClass, ...]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"--classes {path}: cannot be read ({error.strerror or error}).") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"--classes {path}: is not JSON ({error}).") from None
    if not isinstance(values, dict) or not values:
        raise ValueError(f"--classes {path}: expected an object of class names, and one at least.")
    return tuple(_class(path, name, entry) for name, entry in values.items())


def _class(path: Path, name: str, entry: Any) -> TextClass:
    wanted = '{"is_instrument": true or false, "phrases": ["...", ...]}'
    if not isinstance(entry, dict) or not entry.keys() <= {"is_instrument", "phrases"}:
        raise ValueError(f"--classes {path}: {name!r}: expected {wanted}.")
    phrases = entry.get("phrases", [name])
    is_text = isinstance(phrases, list) and all(isinstance(p, str) and p.strip() for p in phrases)
    if not is_text or not phrases or not isinstance(entry.get("is_instrument"), bool):
        raise ValueError(f"--classes {path}: {name!r}: expected {wanted}.")
    return TextClass(name, tuple(phrases), entry["is_instrument"])
