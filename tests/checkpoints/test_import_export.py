"""Published files in and out: equal bit for bit, the model found out, every misfit reported."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from surgjax.checkpoints import (
    CheckpointError,
    export_hugging_face,
    export_official,
    import_params,
    infer_config,
    load,
    save_hugging_face,
    save_pt,
    save_safetensors,
)
from surgjax.checkpoints.torch_export import flatten
from surgjax.checkpoints.torch_writer import write_state_dict
from surgjax.models.variants import OFFICIAL, VARIANTS, VERSIONS, get_config
from tests.checkpoints.hugging_face import video_config
from tests.checkpoints.weights import (
    DEBUG,
    random_params,
    random_state,
    same_bits,
    save_with_torch,
)

COPY = "prompt_encoder.shared_embedding.positional_embedding"
KEPT = "shared_image_embedding.positional_embedding"


@pytest.fixture
def scratch():
    """A folder that is gone after the test; pytest's own would keep gigabytes of three runs."""
    folder = Path(tempfile.mkdtemp(prefix="surgjax-test-"))
    yield folder
    shutil.rmtree(folder)


LARGE_TWICE = pytest.param("large", "2.0", marks=pytest.mark.slow)  # 900 MB


@pytest.mark.parametrize(
    ("name", "version"),
    [(n, v) for n in OFFICIAL for v in VERSIONS if (n, v) != ("large", "2.0")] + [LARGE_TWICE],
)
def test_official_files_written_by_torch(require_torch, scratch, name, version):
    """.pt of torch -> params -> .pt of ours, read by torch: the same bits, the right model."""
    torch, config = require_torch, get_config(name, version)
    state = random_state(config)
    save_with_torch(torch, scratch / "in.pt", state)
    loaded = load(scratch / "in.pt")
    (scratch / "in.pt").unlink()
    assert loaded.config == config and loaded.kind == "official torch file"
    save_pt(scratch / "out.pt", loaded.params, config)
    del loaded
    found = torch.load(scratch / "out.pt", weights_only=True, mmap=True)["model"]
    assert same_bits({n: t.numpy() for n, t in found.items()}, state)


@pytest.mark.parametrize(
    ("name", "version"),
    [("tiny", "2.1"), ("tiny", "2.0"), pytest.param("base_plus", "2.1", marks=pytest.mark.slow)],
)
def test_hugging_face_files_written_by_transformers(require_torch, scratch, name, version):
    """model.safetensors of save_pretrained -> params -> ours -> transformers: the same bits."""
    torch, transformers = require_torch, pytest.importorskip("transformers")
    from safetensors.torch import load_file

    config = get_config(name, version)
    torch.manual_seed(0)
    model = transformers.Sam2VideoModel(video_config(config))
    with torch.no_grad():  # 5.23 draws the two copies of this buffer independently
        model.get_buffer(COPY).copy_(model.get_buffer(KEPT))
    model.save_pretrained(scratch / "in")
    loaded = load(scratch / "in")  # the folder, config.json and all
    assert loaded.config == config and loaded.kind == "Hugging Face safetensors file"
    save_hugging_face(scratch / "out" / "model.safetensors", loaded.params, config)
    found = load_file(scratch / "out" / "model.safetensors")
    expected = {n: t.numpy() for n, t in model.state_dict().items()}
    assert same_bits({n: t.numpy() for n, t in found.items()}, expected)
    shutil.copy(scratch / "in" / "config.json", scratch / "out")
    again, report = transformers.Sam2VideoModel.from_pretrained(
        scratch / "out", output_loading_info=True
    )
    assert not any(report.values()), report
    assert same_bits({n: t.numpy() for n, t in again.state_dict().items()}, expected)


def test_values_land_where_the_layouts_say():
    """One element of each kind of tensor, followed by hand."""
    state = random_state()
    params = import_params(state, DEBUG)
    trunk = params["image_encoder"]["trunk"]
    linear = state["image_encoder.trunk.blocks.1.attn.qkv.weight"]
    assert trunk["blocks_1"]["attn"]["qkv"]["kernel"][3, 5] == linear[5, 3]
    conv = state["image_encoder.trunk.patch_embed.proj.weight"]
    assert trunk["patch_embed"]["proj"]["kernel"][1, 2, 0, 4] == conv[4, 0, 1, 2]
    assert trunk["pos_embed"][0, 1, 2, 3] == state["image_encoder.trunk.pos_embed"][0, 3, 1, 2]
    depthwise = state["memory_encoder.fuser.layers.0.dwconv.weight"]
    fuser = params["memory_encoder"]["fuser"]["layers_0"]
    assert fuser["dwconv"]["kernel"].shape == (7, 7, 1, 32)
    assert fuser["dwconv"]["kernel"][1, 2, 0, 3] == depthwise[3, 0, 1, 2]
    up = state["sam_mask_decoder.output_upscaling.0.weight"]
    assert params["sam_mask_decoder"]["output_upscaling_0"]["kernel"][3, 0, 1, 5] == up[3, 5, 0, 1]
    norm = state["memory_attention.norm.weight"]
    np.testing.assert_array_equal(params["memory_attention"]["norm"]["scale"], norm)
    point = state["sam_prompt_encoder.point_embeddings.2.weight"]
    prompts = params["sam_prompt_encoder"]
    np.testing.assert_array_equal(prompts["point_embeddings_2"]["embedding"], point)


@pytest.mark.parametrize("name", ["debug", "nano"])
@pytest.mark.parametrize("version", VERSIONS)
def test_our_own_variants_make_the_round_trip_in_every_layout(tmp_path, name, version):
    config = get_config(name, version)
    params = random_params(config)
    save_pt(tmp_path / "x.pt", params, config)
    save_safetensors(tmp_path / "x.safetensors", params, config)
    save_hugging_face(tmp_path / "hf.safetensors", params, config)
    for file in ("x.pt", "x.safetensors", "hf.safetensors"):
        loaded = load(tmp_path / file)
        assert loaded.config == config, file
        assert same_bits(flatten(loaded.params), flatten(params)), file


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bit_files_become_float32_exactly(tmp_path, dtype):
    state = random_state(dtype=dtype)
    write_state_dict(tmp_path / "x.pt", state)
    exported = export_official(load(tmp_path / "x.pt").params, DEBUG)
    assert same_bits(exported, {n: a.astype(np.float32) for n, a in state.items()})


def test_our_safetensors_can_be_half_the_size(tmp_path):
    params = random_params()
    for dtype in ("float32", "float16"):
        save_safetensors(tmp_path / dtype, params, DEBUG, dtype=dtype)
    sizes = {p.name: p.stat().st_size for p in tmp_path.iterdir()}
    assert sizes["float16"] < 0.55 * sizes["float32"]
    found = flatten(load(tmp_path / "float16").params)
    rounded = {n: a.astype(np.float16).astype(np.float32) for n, a in flatten(params).items()}
    assert same_bits(found, rounded)
    for value in (1e5, np.inf, np.nan):
        params["no_mem_embed"][0, 0, 0] = value
        with pytest.raises(CheckpointError, match="no_mem_embed holds values beyond ±65504"):
            save_safetensors(tmp_path / "float16", params, DEBUG, dtype="float16")


def test_params_are_writable_arrays_of_their_own():
    state = random_state()
    params = import_params(state, DEBUG)
    before = state["no_mem_embed"].copy()
    params["no_mem_embed"][:] = 7
    np.testing.assert_array_equal(state["no_mem_embed"], before)
    leaves = flatten(params).values()
    assert all(a.flags.c_contiguous and a.dtype == np.float32 for a in leaves)


def test_jax_arrays_export_too():
    import jax

    params = random_params()
    exported = export_official(jax.tree.map(jax.numpy.asarray, params), DEBUG)
    assert same_bits(exported, export_official(params, DEBUG))


def test_the_config_of_our_safetensors_survives(tmp_path):
    config = DEBUG.replace(image_size=96, max_cond_frames=3)
    save_safetensors(tmp_path / "x.safetensors", random_params(config), config)
    assert load(tmp_path / "x.safetensors").config == config


# --- which model is it ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["debug", "nano", "tiny"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("layout", ["official", "hugging_face"])
def test_variant_and_version_follow_from_names_and_shapes(name, version, layout):
    state = random_state(get_config(name, version), layout)
    assert infer_config(state) == get_config(name, version)


def test_missing_unexpected_and_ill_shaped_tensors_are_listed_together():
    state = random_state(get_config("debug"))
    del state["memory_attention.layers.1.linear1.bias"]
    del state["no_obj_ptr"]
    state["memory_attention.layers.2.linear1.bias"] = np.zeros(64, np.float32)
    state["extra"] = np.zeros(1, np.float32)
    state["mask_downsample.weight"] = np.zeros((1, 1, 8, 8), np.float32)
    state["no_mem_embed"] = state["no_mem_embed"].astype(np.int32)
    with pytest.raises(CheckpointError) as caught:
        infer_config(state)
    message = str(caught.value)
    assert "SAM 2.1 debug: 2 missing, 2 unexpected, 2 of another shape or type" in message
    missing, rest = message.split("unexpected:")
    assert "memory_attention.layers.1.linear1.bias" in missing and "no_obj_ptr" in missing
    unexpected, wrong = rest.split("of another shape or type:")
    assert "memory_attention.layers.2.linear1.bias" in unexpected and "extra" in unexpected
    assert "mask_downsample.weight: expected shape (1, 1, 4, 4), found (1, 1, 8, 8)" in wrong
    assert "no_mem_embed: expected one of float32, float16, bfloat16, found int32" in wrong


@pytest.mark.parametrize("layout", ["official", "hugging_face"])
def test_one_missing_or_leftover_tensor_is_enough(layout):
    whole = random_state(DEBUG, layout)
    for name in [n for n in whole if layout == "official" or n not in (COPY, KEPT)][::7]:
        with pytest.raises(CheckpointError, match="1 missing, 0 unexpected, 0 of another") as e:
            import_params({n: a for n, a in whole.items() if n != name}, DEBUG)
        assert name in str(e.value)
        with pytest.raises(CheckpointError, match="0 missing, 1 unexpected, 0 of another") as e:
            import_params({**whole, f"{name}.more": np.zeros(1, np.float32)}, DEBUG)
        assert f"{name}.more" in str(e.value)


def test_half_of_the_2_1_additions_is_neither_version():
    state = random_state(get_config("debug", "2.1"))
    del state["no_obj_embed_spatial"]
    with pytest.raises(CheckpointError, match="1 missing, 0 unexpected"):
        infer_config(state)


def test_a_trunk_with_one_block_less_is_compared_with_the_closest_variant():
    state = random_state(get_config("tiny"))
    state = {n: a for n, a in state.items() if ".blocks.11." not in n}
    with pytest.raises(CheckpointError, match="closest known model, SAM 2.1 tiny: 12 missing"):
        infer_config(state)


def test_other_architectures_are_named_as_such():
    with pytest.raises(CheckpointError, match="is not a SAM 2 checkpoint: none of its 2 tensors"):
        infer_config({"conv1.weight": np.zeros(1), "fc.bias": np.zeros(1)})
    sam1 = {f"image_encoder.blocks.{i}.attn.qkv.weight": np.zeros((9, 3)) for i in range(12)}
    with pytest.raises(CheckpointError, match="is not a SAM 2 checkpoint"):
        infer_config(sam1)
    wide = get_config("tiny").replace(embed_dim=80, hidden_dim=192)
    with pytest.raises(CheckpointError, match="unlike the known SAM 2 variants"):
        infer_config(random_state(wide))


def test_a_long_list_is_cut():
    with pytest.raises(CheckpointError, match=r"\.\.\. and \d+ more") as caught:
        infer_config({"image_encoder.trunk.pos_embed": np.zeros(1, np.float32)})
    assert len(str(caught.value).splitlines()) < 100


# --- what Hugging Face does differently ----------------------------------------------------------


def test_hugging_face_copies_may_be_two_or_either_but_not_two_different_ones():
    whole = random_state(DEBUG, "hugging_face")
    expected = flatten(import_params(whole, DEBUG))
    for dropped in (COPY, KEPT):
        state = {n: a for n, a in whole.items() if n != dropped}
        assert same_bits(flatten(import_params(state, DEBUG)), expected)
        assert infer_config(state) == DEBUG
    with pytest.raises(CheckpointError, match="two different tensors"):
        import_params({**whole, COPY: whole[COPY] + 1}, DEBUG)
    neither = {n: a for n, a in whole.items() if n not in (COPY, KEPT)}
    with pytest.raises(CheckpointError, match="2 missing"):
        import_params(neither, DEBUG)


def test_hugging_face_stacks_the_point_embeddings():
    params = random_params()
    state = export_hugging_face(params, DEBUG)
    prompts = params["sam_prompt_encoder"]
    for i in range(4):
        row = state["prompt_encoder.point_embed.weight"][i]
        np.testing.assert_array_equal(row, prompts[f"point_embeddings_{i}"]["embedding"][0])
    short = {**state, "prompt_encoder.point_embed.weight": np.zeros((3, 32), np.float32)}
    with pytest.raises(CheckpointError, match=r"expected shape \(4, 32\), found \(3, 32\)"):
        import_params(short, DEBUG)


def test_an_image_only_model_is_named():
    state = random_state(get_config("debug"), "hugging_face")
    video_only = ("memory_", "object_pointer", "no_", "mask_downsample", "temporal_", "occlusion_")
    state = {n: a for n, a in state.items() if not n.startswith(video_only)}
    with pytest.raises(CheckpointError, match="image-only model"):
        infer_config(state)


# --- params that do not fit ----------------------------------------------------------------------


def test_export_is_strict_about_params():
    params = random_params()
    params["memory_attention"]["extra"] = np.zeros(1, np.float32)
    del params["no_obj_ptr"]
    with pytest.raises(CheckpointError, match="1 missing, 1 unexpected") as caught:
        export_official(params, DEBUG)
    assert "memory_attention/extra" in str(caught.value)
    with pytest.raises(CheckpointError, match="do not fit SAM 2.0 debug"):
        export_official(random_params(), get_config("debug", "2.0"))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(CheckpointError):
        save_safetensors(path, {}, DEBUG)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_every_variant_has_a_table_test():
    assert set(VARIANTS) == {*OFFICIAL, "nano", "debug"}
