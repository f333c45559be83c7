"""Key table of CLIP's text tower: name on Hugging Face, path in params, shape, transform.

Path:    ClipTextConfig -> [tables.clip_text] -> clip_import
Axes:    Hugging Face: Linear (out, in), embeddings (rows, C). Ours: (in, out), (rows, C).
Units:   none.
Errors:  none; the table is a function of the config.
Source:  names and shapes of `CLIPTextModelWithProjection` in transformers 5.23.
Differs: nothing to differ from.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from surgjax.checkpoints.tables.sam2 import params_path
from surgjax.text.clip_text_encoder import ClipTextConfig

PROJECTION = "text_projection.weight"
TOKENS = "text_model.embeddings.token_embedding.weight"
POSITIONS = "text_model.embeddings.position_embedding.weight"
LAYER = "text_model.encoder.layers."
# Of a whole CLIP file: the image tower and the temperature. Then a buffer of old files, 0 to 76.
OTHER_PARTS = ("vision_model.", "visual_projection.", "logit_scale")
BUFFERS = ("text_model.embeddings.position_ids",)


@dataclasses.dataclass(frozen=True)
class Row:
    """One tensor in both layouts."""

    key: str
    path: tuple[str, ...]
    shape: tuple[int, ...]  # in the file
    is_linear: bool = False

    def to_params(self, array: np.ndarray) -> np.ndarray:
        """The array in our layout, float32, memory of its own."""
        return np.array(array.T if self.is_linear else array, np.float32, order="C")


def table(config: ClipTextConfig) -> tuple[Row, ...]:
    """Every tensor of the tower, in the order of the computation."""
    return tuple(_rows(config))


def _rows(c: ClipTextConfig) -> Iterator[Row]:
    yield Row(TOKENS, params_path(TOKENS, "embedding"), (c.vocabulary, c.width))
    yield Row(POSITIONS, params_path(POSITIONS, "embedding"), (c.context, c.width))
    for number in range(c.layers):
        layer = f"{LAYER}{number}"
        yield from _norm(f"{layer}.layer_norm1", c.width)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from _linear(f"{layer}.self_attn.{name}", c.width, c.width)
        yield from _norm(f"{layer}.layer_norm2", c.width)
        yield from _linear(f"{layer}.mlp.fc1", c.width, c.hidden)
        yield from _linear(f"{layer}.mlp.fc2", c.hidden, c.width)
    yield from _norm("text_model.final_layer_norm", c.width)
    yield Row(PROJECTION, params_path(PROJECTION, "kernel"), (c.projection, c.width), True)


def _linear(name: str, inputs: int, outputs: int) -> Iterator[Row]:
    weight, bias = f"{name}.weight", f"{name}.bias"
    yield Row(weight, params_path(weight, "kernel"), (outputs, inputs), True)
    yield Row(bias, params_path(bias), (outputs,))


def _norm(name: str, width: int) -> Iterator[Row]:
    weight, bias = f"{name}.weight", f"{name}.bias"
    yield Row(weight, params_path(weight, "scale"), (width,))
    yield Row(bias, params_path(bias), (width,))
