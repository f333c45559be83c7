"""A CLIP folder of debug size as Hugging Face lays it out, made without torch.

Path:    ClipTextConfig -> [clip_folder] -> model.safetensors, config.json, vocab.json, merges.txt
Axes:    as in `checkpoints.tables.clip_text`.
Units:   none.
Errors:  none of its own.
Source:  ours; names by the key table, which tests/parity compares with transformers.
Differs: random weights.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from surgjax.checkpoints.tables import clip_text as tables
from surgjax.text.clip_text_encoder import ClipTextConfig, debug_config
from tests.text import vocabulary


def tensors(config: ClipTextConfig, seed: int = 0) -> dict[str, np.ndarray]:
    """Normal draws for everything, scaled so that features stay of order 1."""
    rng = np.random.default_rng(seed)
    drawn = {row.key: rng.standard_normal(row.shape) for row in tables.table(config)}
    return {
        key: (x / np.sqrt(x.shape[1]) if x.ndim == 2 and "embedding" not in key else x).astype("f4")
        for key, x in drawn.items()
    }


def write(folder: Path, seed: int = 0) -> ClipTextConfig:
    """All four files."""
    config = debug_config(len(vocabulary.write(folder)))
    save_file(tensors(config, seed), folder / "model.safetensors")
    settings = dict(
        model_type="clip_text_model",
        num_attention_heads=config.heads,
        hidden_size=config.width,
        vocab_size=config.vocabulary,
    )
    (folder / "config.json").write_text(json.dumps(settings))
    return config
