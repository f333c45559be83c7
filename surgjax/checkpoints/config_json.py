"""A Sam2Config as JSON, for the metadata of a file and for the folder of our own checkpoints.

Path:    Sam2Config -> [config_json] -> safetensors metadata, config.json -> Sam2Config
Axes:    none.
Units:   as in Sam2Config.
Errors:  CheckpointError for text that is not JSON, an unknown field, a missing one, or a value of
         another type.
Source:  ours.
Differs: the original keeps the config in yaml files apart from the weights.
"""

import dataclasses
import json
from typing import Any

from surgjax.checkpoints.errors import CheckpointError
from surgjax.models.variants import Sam2Config

METADATA_KEY = "surgjax_config"


def config_to_json(config: Sam2Config) -> str:
    """All fields, sorted by name."""
    return json.dumps(dataclasses.asdict(config), sort_keys=True)


def config_from_json(text: str) -> Sam2Config:
    """The config; a field this version does not know is refused, not ignored."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"holds a config that is not JSON ({error}).") from None
    return config_from_dict(values)


def config_from_dict(values: Any) -> Sam2Config:
    """As `config_from_json`, after parsing."""
    if not isinstance(values, dict):
        raise CheckpointError(f"holds a config that is a {type(values).__name__}, expected a dict.")
    fields = {f.name: f for f in dataclasses.fields(Sam2Config)}
    unknown = sorted(values.keys() - fields.keys())
    if unknown:
        raise CheckpointError(f"holds a config with unknown fields: {', '.join(unknown)}.")
    needed = (n for n, f in fields.items() if f.default is dataclasses.MISSING)
    missing = sorted(set(needed) - values.keys())
    if missing:
        raise CheckpointError(f"holds a config that lacks the fields {', '.join(missing)}.")
    try:
        return Sam2Config(**{name: _tuples(value) for name, value in values.items()})
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"holds a config that is not valid ({error}).") from None


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
