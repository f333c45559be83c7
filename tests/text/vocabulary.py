"""A small vocabulary in CLIP's layout: every byte, and merges learned from surgical words.

Path:    WORDS -> [vocabulary] -> vocab.json, merges.txt -> tests of tokenizer, tower and bank
Axes:    none.
Units:   none.
Errors:  none of its own.
Source:  byte-pair encoding: the most frequent pair is joined, again and again.
Differs: CLIP's own vocabulary has 48,894 merges; the files have the same layout.
"""

import collections
import json
from pathlib import Path

from surgjax.text.categories import categories
from surgjax.text.clip_tokenizer import END, START, byte_symbols
from surgjax.text.templates import SURGICAL

MORE = (
    "the grasper's tip doesn't hold; they're 12 mm apart, naïve Gefäß résumé 鉗子 щипцы !!! ... --"
)


def learn_merges(count: int) -> list[tuple[str, str]]:
    """The `count` most frequent pairs of our own sentences; ties go to the first in order."""
    texts = [text for one in categories() for text in SURGICAL.texts(one)] + [MORE] * 3
    symbols = byte_symbols()
    words: collections.Counter[tuple[str, ...]] = collections.Counter()
    for word in " ".join(texts).lower().split():
        parts = [symbols[byte] for byte in word.encode()]
        words[*parts[:-1], parts[-1] + "</w>"] += 1
    merges: list[tuple[str, str]] = []
    for _ in range(count):
        pairs: collections.Counter[tuple[str, str]] = collections.Counter()
        for word, times in words.items():
            for pair in zip(word, word[1:], strict=False):
                pairs[pair] += times
        if not pairs:
            break
        best = max(sorted(pairs), key=lambda pair: pairs[pair])
        merges.append(best)
        joined: collections.Counter[tuple[str, ...]] = collections.Counter()
        for word, times in words.items():
            joined[_join(word, best)] += times
        words = joined
    return merges


def _join(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    out: list[str] = []
    place = 0
    while place < len(word):
        is_pair = word[place : place + 2] == pair
        out.append("".join(pair) if is_pair else word[place])
        place += 2 if is_pair else 1
    return tuple(out)


def make_vocabulary(merges: list[tuple[str, str]]) -> dict[str, int]:
    """Ids in CLIP's order: bytes, bytes at a word's end, merges, start, end."""
    symbols = sorted(byte_symbols(), key=ord)
    names = [*symbols, *(s + "</w>" for s in symbols), *("".join(pair) for pair in merges)]
    return {name: number for number, name in enumerate(dict.fromkeys((*names, START, END)))}


def write(folder: Path, merge_count: int = 300) -> dict[str, int]:
    """Both files; returns the vocabulary."""
    merges = learn_merges(merge_count)
    vocabulary = make_vocabulary(merges)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return vocabulary
