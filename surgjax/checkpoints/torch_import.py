"""Turns the tensors of a published SAM 2 file into our params, finding out which model it is.

Path:    torch_reader or safetensors -> [torch_import] -> params
Axes:    see `tables.sam2`.
Units:   none.
Errors:  CheckpointError: no SAM 2 names at all, an image-only file, and otherwise one message with
         every missing, unexpected and ill-shaped tensor.
Source:  names as in `tables.sam2`.
Differs: the references need the variant named (a yaml, a config.json) beside the weights; here it
         follows from names and shapes. Weights stored in 16 bits become float32.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from surgjax.checkpoints.errors import CheckpointError
from surgjax.checkpoints.key_check import Problems, find_problems, raise_problems, shapes_of
from surgjax.checkpoints.tables import sam2 as tables
from surgjax.models.variants import VARIANTS, VERSIONS, Sam2Config, get_config

Layout = Literal["official", "hugging_face"]
Tensors = Mapping[str, np.ndarray]

# Ours alone: files written with `long_memory_embedding`.
LONG_MEMORY_NAMES = ("long_tpos_enc", "long_memory_temporal_encoding")
_TRUNK = {"official": "image_encoder.trunk.", "hugging_face": "vision_encoder.backbone."}


def find_layout(tensors: Tensors) -> Layout:
    """Whose names the tensors carry."""
    for layout, prefix in _TRUNK.items():
        if any(name.startswith(prefix) for name in tensors):
            return layout  # type: ignore[return-value]
    some = ", ".join(list(tensors)[:5])
    raise CheckpointError(
        f"is not a SAM 2 checkpoint: none of its {len(tensors)} tensors begins with "
        f"{_TRUNK['official']} or {_TRUNK['hugging_face']}; the first are {some}."
    )


def expected_shapes(config: Sam2Config, layout: Layout) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor a file of this layout holds."""
    rows = tables.table(config)
    if layout == "official":
        return {row.official: row.shape for row in rows}
    expected: dict[str, tuple[int, ...]] = {}
    for row in rows:
        if row.hugging_face_row is None:
            expected[row.hugging_face] = row.shape
        else:  # rows of a stacked table come in order, so the last one leaves its full height
            expected[row.hugging_face] = (row.hugging_face_row + 1, *row.shape[1:])
    for copy, kept in tables.HUGGING_FACE_COPIES.items():
        expected[copy] = expected[kept]
    return expected


def infer_config(tensors: Tensors) -> Sam2Config:
    """The config of the variant and version the tensors fit, after a strict check."""
    layout = find_layout(tensors)
    found = shapes_of(tensors)
    has_long = any(name in tensors for name in LONG_MEMORY_NAMES)
    token = any(name.startswith(tables.SEMANTIC_PREFIX) for name in found)
    configs = [
        get_config(name, version=v).replace(long_memory_embedding=has_long, semantic_token=token)
        for name in VARIANTS
        for v in VERSIONS
    ]
    fits = [(_problems(found, c, layout), c) for c in configs]
    problems, config = min(fits, key=lambda fit: fit[0].count)
    if layout == "hugging_face" and not any(n.startswith("memory_encoder.") for n in tensors):
        raise CheckpointError(
            "holds an image-only model (Hugging Face Sam2Model), expected a Sam2VideoModel, "
            "which has a memory encoder."
        )
    if problems.count > problems.expected // 2:
        known = ", ".join(VARIANTS)
        closest = f"is of an architecture unlike the known SAM 2 variants ({known}); against"
    else:
        closest = "does not fit the closest known model,"
    raise_problems(problems, f"{closest} SAM {config.version} {config.name}")
    return config


def check_tensors(tensors: Tensors, config: Sam2Config) -> Layout:
    """Raises unless the tensors are exactly those of `config`; returns whose names they carry."""
    layout = find_layout(tensors)
    problems = _problems(shapes_of(tensors), config, layout)
    raise_problems(problems, f"does not fit SAM {config.version} {config.name}")
    return layout


def import_params(tensors: Tensors, config: Sam2Config) -> dict[str, Any]:
    """Our params, float32, as NumPy arrays of their own."""
    layout = check_tensors(tensors, config)
    if layout == "hugging_face":
        tensors = _merge_copies(tensors)
    params: dict[str, Any] = {}
    for row in tables.table(config):
        if layout == "official":
            array = tensors[row.official]
        elif row.hugging_face_row is None:
            array = tensors[row.hugging_face]
        else:
            array = tensors[row.hugging_face][row.hugging_face_row :][:1]
        set_leaf(params, row.path, np.array(row.to_params(array), np.float32, order="C"))
    return params


def set_leaf(params: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Stores `value` in a nested dict, making the levels on the way."""
    for level in path[:-1]:
        params = params.setdefault(level, {})
    params[path[-1]] = value


def _problems(
    found: Mapping[str, tuple[tuple[int, ...], str]], config: Sam2Config, layout: Layout
) -> Problems:
    optional: set[str] = set()
    if layout == "hugging_face":  # of a tensor stored twice, one copy is enough
        for copy, kept in tables.HUGGING_FACE_COPIES.items():
            optional |= {copy} if kept in found else {kept} if copy in found else set()
    return find_problems(found, expected_shapes(config, layout), optional)


def _merge_copies(tensors: Tensors) -> dict[str, np.ndarray]:
    merged = dict(tensors)
    for copy, kept in tables.HUGGING_FACE_COPIES.items():
        second = merged.pop(copy, None)
        if second is None:
            continue
        first = merged.setdefault(kept, second)
        if first.dtype != second.dtype or first.tobytes() != second.tobytes():
            raise CheckpointError(
                f"holds two different tensors under {kept} and {copy}; in a SAM 2 model they "
                "are one and the same."
            )
    return merged
