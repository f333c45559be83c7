"""The averaged parameters of a training run as one file, with the model and bank of the run.

Path:    RUN_DIR, other weights -> [exporting] -> safetensors
Axes:    none.
Units:   shares in 0..1.
Errors:  ValueError naming the flag or the file; CheckpointError for weights that do not fit.
Source:  ours.
Differs: nothing to differ from.
"""

import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from experiments.promptable_sam2 import model_parts
from experiments.promptable_sam2.blending import blend, parts_of_run_alone
from surgjax import checkpoints
from surgjax.models import sam2, variants
from surgjax.models.trained_bank import trained_bank
from surgjax.train.averaged import averaged_params, best_step


def trained_config(workdir: str, variant: str | None, bank: str | None) -> variants.Sam2Config:
    """The model that the run trained, by its config.json: who reads the token, which text bank.

    bank: where the bank lies now, if not where the run found it.
    """
    path = Path(workdir, "config.json")
    if not path.is_file():
        return variants.get_config(variant or "nano")
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        recorded = ConfigDict(values)
        made = model_parts.variant_of(recorded)
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: is not the config of a training run ({error}).") from None
    if variant not in (None, made.name):
        raise ValueError(f"--variant {variant}: {path} says {made.name}.")
    if not values.get("prompts", {}).get("semantic_weight"):
        return made
    if bank is not None:
        recorded.text_bank = bank
    try:
        found = model_parts.text_bank_of(recorded)
    except ValueError as error:
        raise ValueError(f"{error} --text_bank says where the run's bank lies now.") from None
    assert found is not None
    wanted = values.get("text_bank_sha256")
    if wanted not in (None, found.sha256()):
        raise ValueError(
            f"text bank {recorded.text_bank}: has sha256 {found.sha256()[:12]}, the run was "
            f"trained with {wanted[:12]} ({path}); --text_bank says where that one lies."
        )
    return made.replace(text_bank=trained_bank(found))


def run(
    workdir: str,
    output: str,
    *,
    variant: str | None = None,
    dtype: str = "float32",
    best: bool = False,
    step: int | None = None,
    first: str | None = None,
    share: float = 0.5,
    bank: str | None = None,
) -> None:
    """Everything but flags; `first` is what --blend names."""
    if best and step is not None:
        raise ValueError("--best and --step: give one of them.")
    config = trained_config(workdir, variant, bank)
    wanted = best_step(workdir) if best else step
    params, step = averaged_params(workdir, config.name, step=wanted, version=config.version)
    if first is not None:
        loaded = checkpoints.load(first)
        banks = {c.text_bank.sha256 for c in (config, loaded.config) if c.text_bank is not None}
        if len(banks) > 1:
            raise ValueError(f"--blend {first}: was trained with another text bank.")
        for part in parts_of_run_alone(params, loaded.params):
            print(f"{part}: the run's own, {first} has none")
        params = blend(params, loaded.params, share)
    kept = config if config.semantic_token else sam2.with_parts_of(config, params)
    checkpoints.save_safetensors(output, params, kept, dtype)
    print(f"{output}: step {step}, {sam2.count_params(params):,} parameters")
