"""A text bank in a file, which says what it was made from and is not believed if that changes.

Path:    CLIP folder, classes, templates -> [text_bank_file] -> bank.safetensors -> TextBank
Axes:    see `text.text_bank`.
Units:   none.
Errors:  CheckpointError naming the file: not a text bank, damaged, of a later format; made from
         something else than what is asked for, with what differs by name.
Source:  ours.
Differs: nothing to differ from.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surgjax.checkpoints.atomic import atomic_file
from surgjax.checkpoints.clip_import import CONFIG_FILE, clip_sha256, load_clip_text
from surgjax.checkpoints.errors import CheckpointError
from surgjax.checkpoints.fingerprint import file_sha256
from surgjax.checkpoints.loading import read_file
from surgjax.text.categories import TextClass
from surgjax.text.clip_tokenizer import MERGES_FILE, VOCABULARY_FILE, ClipTokenizer
from surgjax.text.templates import SURGICAL, Templates
from surgjax.text.text_bank import CLIP, ORTHOGONAL, TextBank, clip_bank, orthogonal_bank

METADATA_KEY = "surgjax_text_bank"
FORMAT = 1
METHOD = "1"  # goes up when the same inputs would give other vectors


def save_bank(path: str | os.PathLike[str], bank: TextBank) -> None:
    """Writes the bank whole or not at all."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    about = dict(
        format=FORMAT,
        kind=bank.kind,
        names=list(bank.names),
        inputs=dict(bank.inputs),
        sha256=bank.sha256(),
    )
    arrays = {
        "vectors": np.ascontiguousarray(bank.vectors),
        "is_instrument": np.ascontiguousarray(bank.is_instrument),
    }
    with atomic_file(path) as temporary:
        try:
            save_file(arrays, temporary, {METADATA_KEY: json.dumps(about, sort_keys=True)})
        except SafetensorError as error:  # a full disk is no OSError here
            raise CheckpointError(f"{path}: cannot be written ({error}).") from None


def load_bank(path: str | os.PathLike[str]) -> TextBank:
    """Reads a bank and checks it against its own sum."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; `python -m experiments.text_bank` makes a text bank."
        )
    tensors, metadata, _ = read_file(path)
    if METADATA_KEY not in metadata:
        raise CheckpointError(f"{path}: is no text bank (its metadata lacks {METADATA_KEY}).")
    try:
        about = json.loads(metadata[METADATA_KEY])
        if about["format"] != FORMAT:
            raise CheckpointError(
                f"{path}: has format {about['format']}, this version reads {FORMAT}."
            )
        bank = _bank(about, tensors)
        expected = about["sha256"]
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: is a damaged text bank ({error}).") from None
    if bank.sha256() != expected:
        raise CheckpointError(f"{path}: is damaged: its content does not have the sum it names.")
    return bank


def _bank(about: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> TextBank:
    return TextBank(
        tuple(about["names"]),
        tensors["vectors"],
        about["kind"],
        tensors["is_instrument"],
        about["inputs"],
    )


def clip_inputs(
    folder: str | os.PathLike[str], classes: Sequence[TextClass], templates: Templates
) -> dict[str, str]:
    """What a bank of these would be made from: sums of files and of texts."""
    folder = Path(folder)
    inputs = {"method": METHOD, "weights": clip_sha256(folder)}
    for name in (CONFIG_FILE, VOCABULARY_FILE, MERGES_FILE):
        inputs[name] = file_sha256(folder / name) if (folder / name).is_file() else "none"
    inputs["templates"] = _sum([list(templates.instrument), list(templates.tissue)])
    inputs["classes"] = _sum_classes(classes)
    return inputs


def cached_clip_bank(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    classes: Sequence[TextClass],
    templates: Templates = SURGICAL,
    recompute: bool = False,
) -> tuple[TextBank, bool]:
    """The bank in the file, or a new one in its place, and whether it is new.

    A file made from something else is refused, or made anew if `recompute`; either way a file
    that is made from the same is taken as it is.
    """
    path, folder = Path(path), Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; expected CLIP as Hugging Face has it.")
    inputs = clip_inputs(folder, classes, templates)
    kept = kept_bank(path, CLIP, inputs, recompute)
    if kept is not None:
        return kept, False
    tokenizer = ClipTokenizer.from_folder(folder)
    loaded = load_clip_text(folder)
    try:
        bank = clip_bank(loaded.params, loaded.config, tokenizer, classes, templates, inputs)
    except ValueError as error:
        raise CheckpointError(f"{folder}: {error}") from None
    save_bank(path, bank)
    return bank, True


def cached_orthogonal_bank(
    path: str | os.PathLike[str], classes: Sequence[TextClass], recompute: bool = False
) -> tuple[TextBank, bool]:
    """The fallback bank, in a file under the same rules; for callers that ask for it by name."""
    path, bank = Path(path), orthogonal_bank(classes)
    bank = dataclasses.replace(bank, inputs={**bank.inputs, "classes": _sum_classes(classes)})
    kept = kept_bank(path, ORTHOGONAL, bank.inputs, recompute)
    if kept is not None:
        return kept, False
    save_bank(path, bank)
    return bank, True


def kept_bank(path: Path, kind: str, inputs: Mapping[str, str], recompute: bool) -> TextBank | None:
    """The bank in a file, if there is one and it is of this kind and made from these inputs.

    None where there is no file, or where `recompute` allows to replace the bank that is there.
    """
    if not path.exists():
        return None
    bank = _bank_or_none(path) if recompute else load_bank(path)
    if bank is None:
        return None
    found, wanted = {"kind": bank.kind, **bank.inputs}, {"kind": kind, **inputs}
    differs = [
        f"{name}: {_short(found.get(name))} there, {_short(wanted.get(name))} asked for"
        for name in sorted({*found, *wanted})
        if found.get(name) != wanted.get(name)
    ]
    if not differs:
        return bank
    if not recompute:
        raise CheckpointError(f"{path}: was made from something else ({'; '.join(differs)}).")
    return None


def _short(text: str | None) -> str:
    is_sum = text is not None and len(text) == 64
    return "none" if text is None else text[:12] if is_sum else text


def _bank_or_none(path: Path) -> TextBank | None:
    """A file that will be replaced in any case may be damaged, but must have been a bank."""
    _, metadata, _ = read_file(path)
    if METADATA_KEY not in metadata:
        raise CheckpointError(f"{path}: is no text bank, and is not overwritten.")
    try:
        return load_bank(path)
    except CheckpointError:
        return None


def _sum_classes(classes: Sequence[TextClass]) -> str:
    return _sum([[one.name, list(one.phrases), one.is_instrument] for one in classes])


def _sum(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
