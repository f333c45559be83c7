"""Writing .pt files: torch reads them back exactly, in its safe mode; bytes are reproducible."""

import zipfile

import ml_dtypes
import numpy as np
import pytest

from surgjax.checkpoints.errors import CheckpointError
from surgjax.checkpoints.torch_reader import read_state_dict
from surgjax.checkpoints.torch_writer import write_state_dict
from tests.checkpoints.weights import same_bits


def _state():
    rng = np.random.default_rng(0)
    return {
        "matrix": rng.standard_normal((3, 4), np.float32),
        "transposed": rng.standard_normal((4, 3), np.float32).T,
        "scalar": np.float32(2.5).reshape(()),
        "empty": np.zeros((0, 3), np.float32),
        "half": rng.standard_normal(5).astype(np.float16),
        "bfloat16": rng.standard_normal(5).astype(ml_dtypes.bfloat16),
        "int64": np.arange(5),
        "bool": np.array([True, False]),
        "big_endian": np.arange(5, dtype=">f4"),
        "näme": np.ones(1, np.float32),
    }


def test_our_reader_reads_our_writer(tmp_path):
    state = _state()
    write_state_dict(tmp_path / "x.pt", state)
    found = read_state_dict(tmp_path / "x.pt")
    state["big_endian"] = state["big_endian"].astype("<f4")
    assert list(found) == list(state)
    assert same_bits(found, {n: np.ascontiguousarray(a).reshape(a.shape) for n, a in state.items()})


@pytest.mark.parametrize("options", [{}, {"mmap": True}])
def test_torch_reads_it_in_safe_mode(require_torch, tmp_path, options):
    torch = require_torch
    state = _state()
    write_state_dict(tmp_path / "x.pt", state)
    found = torch.load(tmp_path / "x.pt", weights_only=True, **options)
    assert list(found) == ["model"] and list(found["model"]) == list(state)
    for name, array in state.items():
        tensor = found["model"][name]
        assert str(tensor.dtype).removeprefix("torch.") == array.dtype.name
        tensor = tensor.float() if name == "bfloat16" else tensor
        array = array.astype(np.float32) if name == "bfloat16" else array
        np.testing.assert_array_equal(tensor.numpy(), array)
        assert tensor.shape == array.shape


def test_equal_weights_give_equal_bytes_under_any_name(tmp_path):
    write_state_dict(tmp_path / "x.pt", _state())
    write_state_dict(tmp_path / "y.pt", _state())
    assert (tmp_path / "x.pt").read_bytes() == (tmp_path / "y.pt").read_bytes()


def test_records_are_aligned_for_memory_mapping(tmp_path):
    write_state_dict(tmp_path / "x.pt", _state())
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        assert archive.testzip() is None
        for r in archive.infolist():
            assert (r.header_offset + 30 + len(r.filename) + len(r.extra)) % 64 == 0


def test_a_type_torch_lacks_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(CheckpointError, match="w has type complex64"):
        write_state_dict(tmp_path / "new" / "x.pt", {"w": np.ones(2, np.complex64)})
    assert not list(tmp_path.iterdir())
