"""The GPU's attention without a GPU: when it is chosen, what it computes, and what is lowered."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax._src.cudnn import fused_attention_stablehlo as cudnn

from surgjax.inference import chunks
from surgjax.inference.export import export_tracker
from surgjax.inference.stream import Stream, no_prompts
from surgjax.layers import attention
from surgjax.memory import memory_attention
from surgjax.models.sam2 import Sam2, abstract_params
from surgjax.models.variants import get_config
from surgjax.testing import debug_config, lively_params
from tests.memory.test_memory_attention import make_read

CALL = "__cudnn$fmha"


def pretend(monkeypatch, capability="9.0", platform="PJRT C API\ncuda 12090"):
    device = SimpleNamespace(
        compute_capability=capability, client=SimpleNamespace(platform_version=platform)
    )
    monkeypatch.setattr(attention.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(attention.jax, "devices", lambda: [device])


@pytest.mark.parametrize(
    ("capability", "platform", "width"),
    [("7.5", "cuda", 0), ("8.0", "cuda", 128), ("8.9", "cuda", 128), ("9.0", "cuda", 256),
     ("10.0", "cuda", 256), ("9.0", "rocm 60300", 0)],
)  # fmt: skip
def test_by_device(monkeypatch, capability, platform, width):
    pretend(monkeypatch, capability, platform)
    assert attention.fused_width() == width


def test_never_on_a_cpu():
    assert attention.fused_width() == 0
    assert not attention.fits_fused(jnp.zeros((1, 4096, 1, 64), jnp.bfloat16), 4096)


@pytest.mark.parametrize(
    ("dtype", "queries", "width", "fits"),
    [("bfloat16", 4096, 96, True), ("float16", 4096, 256, True), ("float32", 4096, 96, False),
     ("bfloat16", 64, 96, False), ("bfloat16", 4096, 100, False), ("bfloat16", 4096, 264, False)],
)  # fmt: skip
def test_by_precision_and_shape(monkeypatch, dtype, queries, width, fits):
    pretend(monkeypatch)
    q = jax.ShapeDtypeStruct((1, queries, 2, width), dtype)
    assert attention.fits_fused(q, queries) == fits


def portable(q, k, v, lengths=None):
    """The same call on the implementation that a CPU has."""
    return jax.nn.dot_product_attention(
        q, k, v, key_value_seq_lengths=lengths, implementation="xla"
    )


@pytest.mark.parametrize(("count", "valid"), [(1, 0), (3, 2), (5, 4)])
def test_memory_attention_with_one_kernel_is_the_dense_one(monkeypatch, count, valid):
    config = debug_config()
    model, params = Sam2(config), {"params": lively_params(config)}
    read = make_read(np.random.default_rng(0), 5, count, 4, valid)
    # Among the pointers, valid ones stand behind invalid ones too.
    read = read.replace(pointer_valid=read.pointer_valid[:, ::-1])
    shape = (1, config.grid, config.grid, config.hidden_dim)
    s16 = jnp.asarray(np.random.default_rng(3).standard_normal(shape), jnp.float32)
    want = model.apply(params, s16, read, tiled=False, method="condition")
    calls = []

    def counted(*args):
        calls.append(args)
        return portable(*args)

    monkeypatch.setattr(memory_attention, "fits_fused", lambda q, keys: True)
    monkeypatch.setattr(memory_attention, "fused_attention", counted)
    monkeypatch.setattr(
        memory_attention.lax, "platform_dependent", lambda q, cuda, default: cuda(q)
    )
    got = model.apply(params, s16, read, tiled=True, method="condition")
    assert len(calls) == config.memory_layers
    np.testing.assert_allclose(got, want, atol=2e-5)


@pytest.fixture
def lowered(monkeypatch):
    """Calls of cuDNN's attention in a program for an NVIDIA GPU, traced without one."""
    pretend(monkeypatch)
    monkeypatch.setattr(cudnn, "check_cudnn_version", lambda: 91300)
    monkeypatch.setattr(cudnn, "check_compute_capability", lambda capability: True)
    monkeypatch.setattr(cudnn, "is_cuda_compute_capability_equal", lambda capability: False)

    def count(function, *args, platforms=("cuda",)):
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), args)
        unchecked = [export.DisabledSafetyCheck.custom_call(f"{CALL}Softmax")]
        program = export.export(jax.jit(function), platforms=platforms, disabled_checks=unchecked)(
            *abstract
        )
        return program.mlir_module().count(f"@{CALL}")

    return count


@pytest.mark.parametrize(("size", "dtype", "calls"), [
    (1024, jnp.bfloat16, True), (512, jnp.bfloat16, True), (512, jnp.float32, False),
])  # fmt: skip
def test_programs_for_a_gpu_call_the_fused_kernel(lowered, size, dtype, calls):
    config = get_config("tiny", image_size=size)
    stream = Stream.create(config, dtype)
    params = abstract_params(config)
    frame = jnp.zeros((size, size, 3))
    features = jax.eval_shape(stream.encode, params, frame)
    encoder = lowered(stream.encode, params, frame)
    state = jax.eval_shape(lambda: stream.init_state(1))
    tracker = lowered(stream.track, params, state, features, no_prompts(config, 1))
    blocks = len(config.global_blocks)
    expected = (blocks, 2 * config.memory_layers) if calls else (0, 0)
    assert (encoder, tracker) == expected  # self-attention and memory in every layer


def test_an_exported_tracker_calls_no_kernel(monkeypatch, lowered, tmp_path):
    """Though this process traced the same step with it before."""
    config = debug_config()
    monkeypatch.setattr(attention, "_FUSED_SCORES", 1)
    stream, params = Stream.create(config, jnp.bfloat16), lively_params(config)
    state, blank = stream.init_state(1), no_prompts(config, 1, 4)
    features = jax.eval_shape(stream.encode, params, jnp.zeros((config.image_size,) * 2 + (3,)))
    assert lowered(stream.track, params, state, features, blank) > 0
    export_tracker(tmp_path, stream, params, objects=1, points=4, platforms=("cpu", "cuda"))
    for name in tmp_path.glob("*.jax"):
        assert CALL.encode() not in name.read_bytes()


def test_a_program_that_leaves_the_machine_calls_no_kernel(lowered):
    q = jnp.zeros((1, 4096, 2, 64), jnp.bfloat16)
    assert lowered(lambda *x: attention.attention(*x), q, q, q) == 1
    with attention.portable_attention():
        assert lowered(lambda *x: attention.attention(*x), q, q, q, platforms=("cpu", "cuda")) == 0
    assert attention.fused_width() == 256


def test_streams_in_one_program_call_it_too(lowered):
    config = get_config("tiny", image_size=512)
    stream, params = Stream.create(config, jnp.bfloat16), abstract_params(config)
    states = jax.eval_shape(lambda: chunks.stack_states([stream.init_state(1)] * 2))
    frames, real = jnp.zeros((2, 3, 512, 512, 3)), jnp.ones((2, 3), bool)
    prompts = jax.tree.map(lambda x: np.stack([x, x]), no_prompts(config, 1))

    def step(*args):
        return chunks.track_streams(stream, False, *args)

    calls = lowered(step, params, states, frames, real, prompts)
    assert calls == len(config.global_blocks) + 2 * config.memory_layers
