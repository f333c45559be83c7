"""A Sam2Config as JSON, for the metadata of a file and for the folder of our own checkpoints.

Path:    Sam2Config -> [config_json] -> safetensors metadata, config.json -> Sam2Config
Axes:    none.
Units:   as in Sam2Config.
Errors:  CheckpointError for text that is not JSON, an unknown field, a missing one, a value of
         another type or no size at all, or a name that could not be a file's.
Source:  ours.
Differs: the original keeps the config in yaml files apart from the weights.
"""

import dataclasses
import json
import re
from typing import Any

from surgjax.checkpoints.errors import CheckpointError
from surgjax.models.variants import Sam2Config, TrainedBank

METADATA_KEY = "surgjax_config"
# The name becomes the stem of files, so it must not lead out of their folder.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_EXPECTED = {str: "a text", bool: "true or false", int: "a positive integer", float: "a number"}
_MAX_STAGES = 64  # entries of a tuple


def config_to_json(config: Sam2Config) -> str:
    """All fields, sorted by name; a text bank where there is one."""
    values = dataclasses.asdict(config)
    if config.text_bank is None:
        del values["text_bank"]
    return json.dumps(values, sort_keys=True)


def config_from_json(text: str) -> Sam2Config:
    """The config; a field this version does not know is refused, not ignored."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"holds a config that is not JSON ({error}).") from None
    return config_from_dict(values)


def config_from_dict(values: Any) -> Sam2Config:
    """As `config_from_json`, after parsing."""
    if not isinstance(values, dict):
        raise CheckpointError(f"holds a config that is a {type(values).__name__}, expected a dict.")
    fields = {f.name: f for f in dataclasses.fields(Sam2Config)}
    bank = _trained_bank(values.get("text_bank"))
    values = {name: value for name, value in values.items() if name != "text_bank"}
    unknown = sorted(values.keys() - fields.keys())
    if unknown:
        raise CheckpointError(f"holds a config with unknown fields: {', '.join(unknown)}.")
    needed = (n for n, f in fields.items() if f.default is dataclasses.MISSING)
    missing = sorted(set(needed) - values.keys())
    if missing:
        raise CheckpointError(f"holds a config that lacks the fields {', '.join(missing)}.")
    for name, value in values.items():
        kind: Any = fields[name].type
        if not _fits(kind, value):
            raise CheckpointError(
                f"holds a config that is not valid ({name}: {json.dumps(value)[:80]}, expected "
                f"{_EXPECTED.get(kind, 'a list of positive integers')})."
            )
    if not _NAME.fullmatch(values["name"]):
        raise CheckpointError(
            f"holds a config that is not valid (name {values['name'][:80]!r}: expected letters, "
            "digits, '_', and later on also '-' and '.')."
        )
    fitted: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
    try:
        return Sam2Config(**fitted, text_bank=bank)
    except ValueError as error:
        raise CheckpointError(f"holds a config that is not valid ({error}).") from None


def _trained_bank(values: Any) -> TrainedBank | None:
    """Which text bank the weights were trained with, where they say so."""
    if values is None:
        return None
    try:
        given: dict[str, Any] = {
            n: tuple(v) if isinstance(v, list) else v for n, v in values.items()
        }
        bank = TrainedBank(**given)
    except (AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f"holds a config that is not valid (text_bank: {error}).") from None
    texts = (bank.kind, bank.sha256, bank.weights)
    lists = (bank.names, bank.rows)
    if not all(isinstance(each, tuple) for each in lists) or not all(
        isinstance(text, str) for text in (*texts, *bank.names, *bank.rows)
    ):
        raise CheckpointError("holds a config that is not valid (text_bank: expected texts).")
    return bank


def _fits(kind: Any, value: Any) -> bool:
    """Whether JSON's value may stand in a field of this type; sizes and counts are positive."""
    if kind is str or kind is bool:
        return isinstance(value, kind)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**20
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6
    return (
        isinstance(value, list)
        and 0 < len(value) <= _MAX_STAGES
        and all(_fits(int, v) for v in value)
    )
