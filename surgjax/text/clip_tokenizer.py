"""CLIP's byte-level BPE: from text to token ids.

Path:    text -> [clip_tokenizer] -> token ids -> clip_text_encoder
Axes:    ids [N, L] int32: start, at most L - 2 tokens, end, then the end token as padding.
Units:   ids count from 0 in vocab.json.
Errors:  ValueError naming the file: not there, not JSON, of another layout, a byte or a merged
         symbol without an id, ids with gaps; and for text that is no valid Unicode.
Source:  `vocab.json` and `merges.txt` beside CLIP weights on Hugging Face; the steps of
         `CLIPTokenizer` in transformers 5.23 (NFC, white space, lower case, words, bytes, merges).
Differs: from transformers in two things, both of scripts that no class name uses. Letters and
         digits come from Python's `unicodedata`, so a character that is younger than the
         interpreter counts as a sign. Two combining marks in the wrong order are put right also
         where one of them is younger than Unicode 9, whose tables transformers has. The original
         code of OpenAI moreover repairs text with ftfy and unescapes HTML.
"""

import functools
import heapq
import json
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from surgjax.typing import Int32, NDArray, typechecked

START, END = "<|startoftext|>", "<|endoftext|>"
CONTEXT = 77
VOCABULARY_FILE, MERGES_FILE = "vocab.json", "merges.txt"
_SPECIAL = (START, END)
_WORD_END = "</w>"
_CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
# Unicode's White_Space; str.isspace also counts the separators U+001C to U+001F.
_WHITE = frozenset(
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"
    + "".join(map(chr, range(0x2000, 0x200B)))
)
_VISIBLE = (*range(33, 127), *range(161, 173), *range(174, 256))  # bytes that stand for themselves


def byte_symbols() -> list[str]:
    """The visible character that stands for each byte in the vocabulary, by byte."""
    symbols = {byte: chr(byte) for byte in _VISIBLE}
    hidden = (byte for byte in range(256) if byte not in symbols)
    symbols.update({byte: chr(256 + n) for n, byte in enumerate(hidden)})
    return [symbols[byte] for byte in range(256)]


_SYMBOLS = byte_symbols()


class ClipTokenizer:
    """Token ids of texts, by a vocabulary and its ranked merges."""

    def __init__(self, vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]]):
        _check_vocabulary(vocabulary, merges)
        self.start_id, self.end_id = vocabulary[START], vocabulary[END]
        self.vocabulary_size = len(vocabulary)
        self._ids = dict(vocabulary)
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._word = functools.lru_cache(maxsize=4096)(self._merge_word)

    @classmethod
    def from_folder(cls, folder: str | Path) -> "ClipTokenizer":
        """Reads vocab.json and merges.txt of a folder."""
        folder = Path(folder)
        vocabulary = read_vocabulary(folder / VOCABULARY_FILE)
        merges = read_merges(folder / MERGES_FILE)
        try:
            return cls(vocabulary, merges)
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from None

    def tokens(self, text: str) -> list[int]:
        """All ids of a text, without start and end, however many."""
        ids: list[int] = []
        for piece, is_special in _cut_special(text):
            if is_special:
                ids.append(self._ids[piece])
            else:
                for word in split_words(normalise(piece)):
                    ids.extend(self._word(word))
        return ids

    @typechecked
    def __call__(self, texts: Sequence[str], context: int = CONTEXT) -> Int32[NDArray, "N L"]:
        """Ids [N, context]; what does not fit between start and end is cut off."""
        if context < 3:
            raise ValueError(f"context {context}: expected 3 or more (start, a token, end).")
        rows = np.full((len(texts), context), self.end_id, np.int32)
        for row, text in zip(rows, texts, strict=True):
            ids = [self.start_id, *self.tokens(text)[: context - 2]]
            row[: len(ids)] = ids
        return rows

    def _merge_word(self, word: str) -> tuple[int, ...]:
        try:
            symbols = [_SYMBOLS[byte] for byte in word.encode()]
        except UnicodeEncodeError as error:
            raise ValueError(f"text is no valid Unicode ({error.reason}).") from None
        symbols[-1] += _WORD_END
        return tuple(self._ids[symbol] for symbol in merge(symbols, self._ranks))


def merge(symbols: Sequence[str], ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """Joins the pair of lowest rank, the leftmost of several, until no pair has a rank."""
    parts: list[str | None] = list(symbols)
    after = list(range(1, len(parts) + 1))  # place of the next part that is left
    before = list(range(-1, len(parts) - 1))
    queue: list[tuple[int, int, str, str]] = []

    def offer(place: int) -> None:
        if place >= 0 and after[place] < len(parts):
            left, right = parts[place], parts[after[place]]
            assert left is not None and right is not None
            if (left, right) in ranks:
                heapq.heappush(queue, (ranks[left, right], place, left, right))

    for place in range(len(parts) - 1):
        offer(place)
    while queue:
        _, place, left, right = heapq.heappop(queue)
        second = after[place]
        if parts[place] != left or second >= len(parts) or parts[second] != right:
            continue  # one of the two has been joined elsewhere since
        parts[place], parts[second] = left + right, None
        after[place] = after[second]
        if after[place] < len(parts):
            before[after[place]] = place
        offer(before[place])
        offer(place)
    return [part for part in parts if part is not None]


def normalise(text: str) -> str:
    """Composed characters, single blanks, lower case."""
    text = unicodedata.normalize("NFC", text)
    out: list[str] = []
    for character in text:
        if character not in _WHITE:
            out.append(character.lower())  # one by one: a sigma at the end of a word stays a sigma
        elif not out or out[-1] != " ":
            out.append(" ")
    return "".join(out)


def split_words(text: str) -> list[str]:
    """Words of a normalised text: letters, single digits, runs of signs, English contractions."""
    words: list[str] = []
    start = 0
    while start < len(text):
        if text[start] == " ":
            start += 1
            continue
        special = next((s for s in _SPECIAL if text.startswith(s, start)), None)
        if special:  # written in capitals, or it would have been cut out before
            words += ["<|", special[2:-2], "|>"]
            start += len(special)
            continue
        end = _word_end(text, start)
        words.append(text[start:end])
        start = end
    return words


def _word_end(text: str, start: int) -> int:
    contraction = next((c for c in _CONTRACTIONS if text.startswith(c, start)), None)
    if contraction:
        return start + len(contraction)
    kind = _kind(text[start])
    end = start + 1
    while kind != "number" and end < len(text) and _kind(text[end]) == kind:
        end += 1
    return end


@functools.lru_cache(maxsize=4096)
def _kind(character: str) -> str:
    if character == " ":
        return "blank"
    return {"L": "letter", "N": "number"}.get(unicodedata.category(character)[0], "sign")


def _cut_special(text: str) -> list[tuple[str, bool]]:
    """Pieces of a text, and whether each is the start or the end token itself."""
    pieces: list[tuple[str, bool]] = []
    start = 0
    while start < len(text):
        found = [(text.find(special, start), special) for special in _SPECIAL]
        found = [(place, special) for place, special in found if place >= 0]
        place, special = min(found) if found else (len(text), "")
        if place > start:
            pieces.append((text[start:place], False))
        if special:
            pieces.append((special, True))
        start = place + len(special)
    return pieces


def read_vocabulary(path: Path) -> dict[str, int]:
    """Symbols and their ids from vocab.json."""
    try:
        values = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not JSON ({error}).") from None
    if not isinstance(values, dict) or not all(type(v) is int for v in values.values()):
        raise ValueError(f"{path}: expected an object of symbols and their ids.")
    return values


def read_merges(path: Path) -> list[tuple[str, str]]:
    """Pairs of symbols from merges.txt, the first with the highest priority."""
    merges: list[tuple[str, str]] = []
    for number, line in enumerate(_read(path).split("\n"), 1):
        line = line.rstrip("\r")
        if not line or line.startswith("#version"):
            continue
        pair = line.split(" ")
        if len(pair) != 2 or not all(pair):
            raise ValueError(f"{path}: line {number}: expected two symbols, found {line[:80]!r}.")
        merges.append((pair[0], pair[1]))
    return merges


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(
            f"{path}: no such file; CLIP's {path.name} lies beside its weights on Hugging Face."
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 ({error}).") from None


def _check_vocabulary(vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> None:
    """Every text must have ids: both forms of each byte, every merge, and both ends."""
    bytes_needed = [symbol + end for end in ("", _WORD_END) for symbol in _SYMBOLS]
    missing = [s for s in (*bytes_needed, *_SPECIAL) if s not in vocabulary]
    if missing:
        raise ValueError(
            f"{VOCABULARY_FILE} lacks {len(missing)} of the 514 symbols that every CLIP vocabulary "
            f"has: {', '.join(missing[:8])}."
        )
    lost = [pair for pair in merges if "".join(pair) not in vocabulary]
    if lost:
        raise ValueError(
            f"{MERGES_FILE} makes {len(lost)} symbols that {VOCABULARY_FILE} does not have, the "
            f"first from {' '.join(lost[0])!r}; do both files belong to one model?"
        )
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise ValueError(
            f"{VOCABULARY_FILE}: expected each id from 0 to {len(vocabulary) - 1} once."
        )
