"""The text bank that a flag or a config names: a file, or the fallback over some classes.

Path:    --text_bank, config.text_bank -> [chosen_text_bank] -> training, track
Axes:    the bank's instruments [K, 512]; tissue has no part in semantic learning.
Units:   none.
Errors:  ValueError naming the flag for what is not a bank, and for vectors of another width.
Source:  ours.
Differs: nothing to differ from.
"""

from experiments.text_bank_classes import read_classes
from surgjax.checkpoints.text_bank_file import load_bank
from surgjax.models.variants import TEXT_DIM
from surgjax.text.text_bank import ORTHOGONAL, TextBank, orthogonal_bank

FALLBACK = "fallback:"


def open_bank(flag: str, value: str) -> TextBank:
    """The instruments of a file of experiments.text_bank, or of "fallback:CLASSES".

    CLASSES is what its --classes takes. The rows are then random and fixed, as of the file that
    --kind=orthogonal makes.
    """
    if value.startswith(FALLBACK):
        bank = orthogonal_bank(read_classes(value.removeprefix(FALLBACK)))
    else:
        bank = load_bank(value)
    width = bank.vectors.shape[1]
    if width != TEXT_DIM:
        raise ValueError(f"{flag} {value}: vectors of {TEXT_DIM} expected, found {width}.")
    try:
        return bank.instruments()
    except ValueError as error:
        raise ValueError(f"{flag} {value}: {error}") from None


def about(bank: TextBank) -> str:
    """One line on a bank for logs."""
    said = f"text bank: {bank.kind}, {len(bank.names)} instruments, sha256 {bank.sha256()[:12]}"
    return said + ("; names mean nothing to it" if bank.kind == ORTHOGONAL else "")
