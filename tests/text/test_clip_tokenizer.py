"""The tokenizer by hand, and what it refuses; transformers is compared in tests/parity."""

import json

import pytest

from surgjax.text import clip_tokenizer
from surgjax.text.clip_tokenizer import ClipTokenizer, byte_symbols, merge, normalise, split_words
from tests.text import vocabulary


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  a\t\n hook ", ["a", "hook"]),
        ("The Surgeon's", ["the", "surgeon", "'s"]),
        ("they'RE 12 mm", ["they", "'re", "1", "2", "mm"]),
        ("x-ray!?", ["x", "-", "ray", "!?"]),
        ("e\u0301", ["é"]),  # composed before it is split
        ("ΣΑΣ", ["σασ"]),  # no final sigma
        ("a\u3000b\x1cc", ["a", "b", "\x1c", "c"]),  # U+001C is no white space in Unicode
        ("<|EndOfText|>!", ["<|", "endoftext", "|>", "!"]),
    ],
)
def test_words(text, words):
    assert split_words(normalise(text)) == words


def test_merges_by_rank_and_from_the_left():
    ranks = {("b", "c"): 0, ("a", "b"): 1, ("a", "a"): 2}
    assert merge(list("abc"), ranks) == ["a", "bc"]
    assert merge(list("aaab"), ranks) == ["aa", "ab"]
    assert merge(list("aaa"), ranks) == ["aa", "a"]
    assert merge(["x"], ranks) == ["x"]


def test_byte_symbols_are_visible_and_different():
    symbols = byte_symbols()
    assert len(set(symbols)) == 256 and symbols[ord("A")] == "A" and symbols[0] == "Ā"
    assert not any(symbol.isspace() for symbol in symbols)


def made(merges=(("h", "o"), ("o", "k</w>"), ("ho", "ok</w>"))):
    merges = list(merges)
    return ClipTokenizer(vocabulary.make_vocabulary(merges), merges)


def test_ids_padding_and_truncation():
    tokenizer = made()
    hook, a = 512 + 2, 256 + sorted(byte_symbols(), key=ord).index("a")
    start, end = 515, 516
    assert tokenizer(["A hook", ""], 6).tolist() == [
        [start, a, hook, end, end, end],
        [start, end, end, end, end, end],
    ]
    assert tokenizer(["a a a a a a"], 6).tolist() == [[start, a, a, a, a, end]]
    assert tokenizer.tokens("a<|endoftext|>a") == [a, end, a]
    assert tokenizer(["hook"]).shape == (1, 77) and tokenizer([]).shape == (0, 77)
    with pytest.raises(ValueError, match="context 2: expected 3 or more"):
        tokenizer(["a"], 2)


def test_long_words_take_no_square_time():
    assert len(made().tokens("a" * 50_000)) == 50_000


def test_text_that_is_no_unicode_is_refused():
    with pytest.raises(ValueError, match="no valid Unicode"):
        made().tokens("\ud800")


def drop(vocab, merges):
    del vocab["Ā</w>"]


def gap(vocab, merges):
    vocab["hook</w>"] = 9000


def other_merges(vocab, merges):
    merges.append("q z")


def three(vocab, merges):
    merges.append("a b c")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop, "vocab.json lacks 1 of the 514 symbols that every CLIP vocabulary has: Ā</w>"),
        (gap, "vocab.json: expected each id from 0 to 516 once"),
        (other_merges, "merges.txt makes 1 symbols that vocab.json does not have, .*'q z'"),
        (three, "merges.txt: line 3: expected two symbols, found 'a b c'"),
    ],
)
def test_spoilt_files_are_refused(tmp_path, spoil, message):
    pairs = [("h", "o"), ("o", "k</w>"), ("ho", "ok</w>")]
    vocab, merges = vocabulary.make_vocabulary(pairs), ["#version: 0.2"]
    if spoil is not three:
        merges += [" ".join(pair) for pair in pairs]
    else:
        merges += ["h o"]
    spoil(vocab, merges)
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    (tmp_path / "merges.txt").write_text("\n".join(merges))
    with pytest.raises(ValueError, match=message):
        ClipTokenizer.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not JSON"), ("[1]", "expected an object of symbols"), ('{"a": true}', "an object")],
)
def test_vocabulary_of_another_layout(tmp_path, text, message):
    (tmp_path / "vocab.json").write_text(text)
    with pytest.raises(ValueError, match=f"vocab.json: .*{message}"):
        ClipTokenizer.from_folder(tmp_path)


def test_missing_file_says_where_it_belongs(tmp_path):
    with pytest.raises(ValueError, match="vocab.json: no such file; .*beside its weights"):
        ClipTokenizer.from_folder(tmp_path)


def test_windows_line_ends(tmp_path):
    vocabulary.write(tmp_path)
    plain = clip_tokenizer.read_merges(tmp_path / "merges.txt")
    text = (tmp_path / "merges.txt").read_text(encoding="utf-8")
    (tmp_path / "merges.txt").write_bytes(text.replace("\n", "\r\n").encode())
    assert clip_tokenizer.read_merges(tmp_path / "merges.txt") == plain and len(plain) == 300
