"""Reading .pt files: what torch writes comes back exactly, and nothing hostile gets through."""

import collections
import os
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest

from surgjax.checkpoints.errors import CheckpointError
from surgjax.checkpoints.torch_reader import read_state_dict, read_torch_file
from surgjax.checkpoints.torch_writer import write_state_dict
from tests.checkpoints.weights import rewrite_zip, write_zip


@pytest.fixture
def small_file(tmp_path):
    path = tmp_path / "small.pt"
    rng = np.random.default_rng(0)
    write_state_dict(path, {"a": rng.standard_normal((20, 30), np.float32), "b": np.ones(7)})
    return path


def _refused(path, match):
    with pytest.raises(CheckpointError, match=match) as caught:
        read_state_dict(path)
    assert str(path) in str(caught.value)


def test_reads_every_kind_of_tensor_torch_writes(require_torch, tmp_path):
    torch = require_torch
    tied = torch.arange(6.0)
    state = {
        "matrix": torch.randn(3, 4),
        "transposed": torch.randn(4, 3).T,
        "strided": torch.randn(10, 10)[2:5, ::3],
        "scalar": torch.tensor(2.0),
        "empty": torch.zeros(0, 3),
        "tied": tied,
        "tied_view": tied[2:].reshape(2, 2),
        "half": torch.randn(5).half(),
        "double": torch.randn(5).double(),
        "int64": torch.arange(5),
        "uint8": torch.arange(5).to(torch.uint8),
        "bool": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(torch.randn(2)),
    }
    bfloat16 = torch.randn(9).bfloat16()
    path = tmp_path / "x.pt"
    torch.save({"model": {**state, "bfloat16": bfloat16}, "epoch": 3, "best": [1.5, None]}, path)
    found = read_state_dict(path)
    assert list(found) == [*state, "bfloat16"]
    for name, tensor in state.items():
        expected = tensor.detach().numpy()
        np.testing.assert_array_equal(found[name], expected, strict=True)
    assert found["bfloat16"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(found["bfloat16"].astype(np.float32), bfloat16.float().numpy())


def test_reads_a_module_state_dict_with_its_metadata_and_without_a_model_key(
    require_torch, tmp_path
):
    torch = require_torch
    state = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4)).state_dict()
    assert hasattr(state, "_metadata")  # pickled with a BUILD opcode
    for content in (state, {"model": state}):
        torch.save(content, tmp_path / "x.pt")
        found = read_state_dict(tmp_path / "x.pt")
        assert list(found) == list(state)
        assert all(np.array_equal(found[n], t.numpy()) for n, t in state.items())


def test_arrays_are_read_only_views(small_file):
    found = read_state_dict(small_file)
    with pytest.raises(ValueError, match="read-only"):
        found["a"][0, 0] = 1


def test_reads_a_training_checkpoint_whole(require_torch, tmp_path):
    torch = require_torch
    parameter = torch.nn.Parameter(torch.randn(2, 2))
    optimizer = torch.optim.AdamW([parameter], lr=1e-3)
    parameter.sum().backward()
    optimizer.step()
    torch.save({"model": {"w": parameter}, "optimizer": optimizer.state_dict()}, tmp_path / "x.pt")
    found = read_torch_file(tmp_path / "x.pt")
    assert found["optimizer"]["param_groups"][0]["lr"] == 1e-3
    moment = optimizer.state_dict()["state"][0]["exp_avg"].numpy()
    np.testing.assert_array_equal(found["optimizer"]["state"][0]["exp_avg"], moment)


# --- hostile files -------------------------------------------------------------------------------


class _Runs:
    """Pickles to a call of os.system."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def _with_pickle(path, data: bytes):
    write_zip(path, {"archive/data.pkl": data, "archive/byteorder": b"little"})
    return path


@pytest.mark.parametrize("where", ["value", "key", "metadata"])
def test_a_command_in_the_pickle_is_refused_and_not_run(tmp_path, where):
    marker = tmp_path / "ran"
    attack = _Runs(f"touch {marker}")
    content: object = {"model": {"w": attack}}
    if where == "key":
        content = [("model", attack)]
    elif where == "metadata":
        content = collections.OrderedDict(w=1)
        content._metadata = attack
    data = pickle.dumps(content, protocol=2)
    _refused(_with_pickle(tmp_path / "x.pt", data), r"\.system, which is not on the list")
    assert not marker.exists()
    pickle.loads(data)  # the file does what it is meant to where a pickle is run
    assert marker.exists()


@pytest.mark.parametrize(
    ("name", "data", "match"),
    [
        ("builtins.eval", b"\x80\x02cbuiltins\neval\n.", "builtins.eval"),
        ("a torch module", b"\x80\x02ctorch.nn.modules.linear\nLinear\n.", "linear.Linear"),
        ("torch.load", b"\x80\x02ctorch\nload\n.", "torch.load"),
        ("dotted name", b"\x80\x02ccollections\nOrderedDict.__init__\n.", "not on the list"),
        ("protocol 4 global", b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "protocol 4"),
        ("STACK_GLOBAL", b"\x80\x02X\x02\0\0\0osX\x06\0\0\0system\x93.", "STACK_GLOBAL"),
        ("INST", b"\x80\x02(ios\nsystem\n.", "INST"),
        ("NEWOBJ", b"\x80\x02ccollections\nOrderedDict\n)\x81.", "NEWOBJ"),
        ("call of a string", b"\x80\x02X\x01\0\0\0a)R.", "calls a str"),
        ("call of a storage type", b"\x80\x02ctorch\nFloatStorage\n)R.", "do not fit"),
        ("state of a global", b"\x80\x02ccollections\nOrderedDict\n}b.", "OrderedDict"),
        ("tensor of a number", b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\1K\0))tR.", "not a"),
        ("pid that is text", b"\x80\x02X\x01\0\0\0aQ.", "refers to a str"),
        ("no stop", b"\x80\x02}", "malformed|truncated"),
        ("nothing", b"", "malformed|truncated"),
        ("pop from nothing", b"\x80\x02s.", "too few"),
        ("no mark", b"\x80\x02}u.", "no mark"),
        ("two results", b"\x80\x02}}.", "2 values left"),
        ("unknown memo", b"\x80\x02h\x05.", "malformed"),
        ("text longer than the file", b"\x80\x02X\xff\xff\xff\xffa.", "malformed"),
        ("key twice", b"\x80\x02}X\1\0\0\0aK\1sX\1\0\0\0aK\2s.", "'a' twice"),
        ("tuple as a key", b"\x80\x02})K\1s.", "a tuple as a key"),
        ("a number", b"\x80\x02K\1.", "found a int"),
        ("no tensors", b"\x80\x02}X\1\0\0\0aK\1s.", "1 of 1 entries"),
    ],
)
def test_hostile_and_broken_pickles(tmp_path, name, data, match):
    _refused(_with_pickle(tmp_path / "x.pt", data), match)


def test_a_huge_memo_index_costs_nothing(tmp_path):
    # pickle.Unpickler would grow a table of 64 GB for this one opcode
    data = b"\x80\x02}r\xff\xff\xff\xff."
    assert read_torch_file(_with_pickle(tmp_path / "x.pt", data)) == {}


@pytest.mark.filterwarnings("ignore:invalid:DeprecationWarning")  # pickletools, of odd escapes
def test_random_damage_to_the_pickle_never_raises_anything_else(small_file):
    with zipfile.ZipFile(small_file) as archive:
        whole = archive.read("archive/data.pkl")
        records = {n: archive.read(n) for n in archive.namelist()}
    rng, refused = np.random.default_rng(0), 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            at, kind = int(rng.integers(len(data))), rng.integers(3)
            some = rng.integers(0, 256, rng.integers(1, 6)).astype(np.uint8).tobytes()
            data[at : at + (0, len(some), 8)[kind]] = b"" if kind == 2 else some
        write_zip(small_file, {**records, "archive/data.pkl": bytes(data)})
        try:
            read_torch_file(small_file)
        except CheckpointError:
            refused += 1
    assert 150 < refused < 300  # a changed letter of a name is no error here


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (1, (4,), (1,)),  # one past the end
        (0, (2, 3), (3, 1)),  # more than there is
        (0, (2**40,), (0,)),  # an expanded view: a terabyte out of one number
        (0, (2**40, 2**40), (0, 0)),
        (0, (2,), (2**61,)),
        (2**61, (1,), (1,)),
        (4, (1,), (1,)),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path, offset, size, stride):
    path = _tensor_file(tmp_path, offset, size, stride)
    _refused(path, "outside its storage of 4 elements")


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [(0, (4,), (-1,)), (-1, (1,), (1,)), (0, (-4,), (1,)), (0, (4,), (1, 1)), (0, (True,), (1,))],
)
def test_a_malformed_tensor_is_refused(tmp_path, offset, size, stride):
    _refused(_tensor_file(tmp_path, offset, size, stride), "arguments that do not fit")


def test_views_inside_the_storage_are_read(tmp_path):
    path = _tensor_file(tmp_path, 1, (2, 1), (2, 2**61))  # a stride of length 1 means nothing
    np.testing.assert_array_equal(read_state_dict(path)["w"], np.array([[1.0], [3.0]], np.float32))
    assert read_state_dict(_tensor_file(tmp_path, 4, (0,), (1,)))["w"].shape == (0,)


def _tensor_file(tmp_path, offset, size, stride):
    def number(n):
        if n is True:
            return b"\x88"
        return b"\x8a\x09" + n.to_bytes(9, "little", signed=True)

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value

    storage = b"(" + text(b"storage") + b"ctorch\nFloatStorage\n" + text(b"0") + text(b"cpu")
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(4) + b"tQ"
    tensor += number(offset) + numbers(size) + numbers(stride) + b"\x89ccollections\nOrderedDict\n"
    data = b"\x80\x02}" + text(b"w") + tensor + b")RtRs."
    path = tmp_path / "x.pt"
    write_zip(path, {"r/data.pkl": data, "r/data/0": np.arange(4, dtype="<f4").tobytes()})
    return path


def test_a_pickle_too_large_to_be_a_state_dict_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("surgjax.checkpoints.pickle_reader.MAX_PICKLE_BYTES", 10)
    _refused(_with_pickle(tmp_path / "x.pt", b"\x80\x02" + b"}0" * 20 + b"}."), "at most 10")


# --- damaged files and other formats -------------------------------------------------------------


def test_every_truncation_is_refused(small_file):
    whole = small_file.read_bytes()
    for keep in [*range(0, len(whole), 97), len(whole) - 1]:
        small_file.write_bytes(whole[:keep])
        with pytest.raises(CheckpointError):
            read_state_dict(small_file)


def test_a_truncated_file_says_so(small_file):
    whole = small_file.read_bytes()
    small_file.write_bytes(whole[: len(whole) // 2])
    _refused(small_file, "truncated or damaged")


def test_a_flipped_bit_in_the_weights_is_found(small_file):
    whole = bytearray(small_file.read_bytes())
    whole[whole.index(np.ones(7).tobytes())] ^= 1
    small_file.write_bytes(whole)
    _refused(small_file, "CRC")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Not found</html>", "not a torch checkpoint: it begins with"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "legacy format"),
        (b"PK\x03\x04" + b"\0" * 100, "truncated or damaged"),
    ],
)
def test_files_that_are_something_else(tmp_path, content, match):
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    _refused(path, match)


def test_torch_legacy_format_is_named(require_torch, tmp_path):
    torch = require_torch
    torch.save({"w": torch.ones(2)}, tmp_path / "x.pt", _use_new_zipfile_serialization=False)
    _refused(tmp_path / "x.pt", "legacy format")


def test_missing_file_and_folder(tmp_path):
    _refused(tmp_path / "absent.pt", "cannot be read")
    _refused(tmp_path, "is a folder")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"byteorder": b"big"}, "byte order b'big', expected b'little'"),
        ({"constants.pkl": b""}, "TorchScript"),
        ({"data/1": None}, "lacks the record data/1"),
        ({"data/1": b"\0" * 52}, "52 bytes, expected 7 elements of float64"),
        ({"data.pkl": None}, "0 data.pkl records"),
    ],
)
def test_archives_that_are_not_whole(small_file, changes, match):
    rewrite_zip(small_file, changes)
    _refused(small_file, match)


def test_compressed_records_are_refused(tmp_path):
    records = {"r/data.pkl": b"\x80\x02}.", "r/data/0": b"\0" * 10**6}
    write_zip(tmp_path / "x.pt", records, zipfile.ZIP_DEFLATED)
    _refused(tmp_path / "x.pt", "compressed records")


def test_records_that_overlap_are_refused(small_file):
    """Every directory entry points at the largest record: a small file, any amount of memory."""
    whole = bytearray(small_file.read_bytes())
    with zipfile.ZipFile(small_file) as archive:
        largest = max(archive.infolist(), key=lambda r: r.file_size)
        sizes = struct.pack("<II", largest.file_size, largest.file_size)
    at = whole.index(b"PK\x01\x02")
    while at >= 0:
        whole[at + 20 : at + 28] = sizes
        at = whole.find(b"PK\x01\x02", at + 1)
    small_file.write_bytes(whole)
    _refused(small_file, "records larger than the file|damaged")


def test_a_name_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("r/data.pkl", b"\x80\x02}.")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("r/data.pkl", b"\x80\x02}.")
    _refused(tmp_path / "x.pt", "occurs twice")
