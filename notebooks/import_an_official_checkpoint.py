# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Import an official checkpoint
#
# Take a SAM 2.1 `.pt` file as Meta publishes it, read it without torch and without executing
# anything in it, convert it, see wrong files refused, and run it.
#
# It takes about a minute on a laptop's CPU and writes some 500 MB, which it removes again. Nothing
# is downloaded: unless you name a file of yours, the notebook makes a **stand-in** in exactly the
# official layout, with the names and shapes of `sam2.1_hiera_tiny.pt` but **random weights**. Its
# masks mean nothing. To show masks that do, the bundled `nano` takes the same way in at the end.

# %% [markdown]
# ## Settings
#
# Everything that has a size is here. With `SURGJAX_NOTEBOOK_DEBUG=1` in the environment the same
# cells run at the size of our tests.

# %%
import os
from pathlib import Path

DEBUG = os.environ.get("SURGJAX_NOTEBOOK_DEBUG") == "1"
REQUIRE_ACCELERATOR = False  # @param {type: "boolean"}
REPOSITORY = "REPOSITORY"  # @param {type: "string"}
OFFICIAL_FILE = ""  # @param {type: "string"}
VARIANT = "debug" if DEBUG else "tiny"  # of the stand-in
IMAGE_SIZE = 64 if DEBUG else 256  # official models: 1024, 512 is four times as fast
NANO_SIZE = 64 if DEBUG else 256
FRAMES = 3 if DEBUG else 8
WORK = Path("results/import_an_official_checkpoint")

# %% [markdown]
# ## Install
#
# Only where surgjax is missing, as on a fresh Colab runtime. There, put the address of the
# repository into `REPOSITORY` above. If Colab asks for a restart afterwards, restart and run all.

# %%
import importlib.util
import shutil

from IPython import get_ipython
from IPython.display import display

if importlib.util.find_spec("surgjax") is None:
    if Path("../setup.py").exists():  # a clone: its own environment is to be used
        raise RuntimeError("start Jupyter from the clone's .venv, which `make test` sets up")
    extra = "viz,cuda" if shutil.which("nvidia-smi") else "viz"
    get_ipython().run_line_magic("pip", f"install 'surgjax[{extra}] @ git+{REPOSITORY}'")

# %% [markdown]
# ## What this runs on

# %%
from surgjax.inference import devices
from surgjax.inference.compilation_cache import enable_cache

print(devices.describe_devices())
if not devices.has_accelerator():
    print("\n*** ONLY A CPU: real weights at 1024 px take seconds a frame here. ***")
    print("*** Colab: Runtime > Change runtime type > GPU, then run all again. ***")
if REQUIRE_ACCELERATOR:
    devices.require_accelerator()
enable_cache()  # compiled programs are kept
WORK.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Where the real files are
#
# | variant | file | parameters | Hugging Face |
# |---|---|---|---|
# | tiny | `sam2.1_hiera_tiny.pt` | 39 M | `facebook/sam2.1-hiera-tiny` |
# | small | `sam2.1_hiera_small.pt` | 46 M | `facebook/sam2.1-hiera-small` |
# | base_plus | `sam2.1_hiera_base_plus.pt` | 81 M | `facebook/sam2.1-hiera-base-plus` |
# | large | `sam2.1_hiera_large.pt` | 224 M | `facebook/sam2.1-hiera-large` |
#
# The README of the GitHub repository `facebookresearch/sam2` lists them under "Getting Started". On
# Hugging Face, `model.safetensors` is the file to take; it is read as well. Check the licence where
# you download. Put the path into `OFFICIAL_FILE` and run all again.
#
# ## A file in the official layout

# %%
from surgjax import checkpoints
from surgjax.models import variants
from surgjax.testing import lively_params

shutil.rmtree(WORK)
WORK.mkdir(parents=True)
is_stand_in = not OFFICIAL_FILE
official = Path(OFFICIAL_FILE) if OFFICIAL_FILE else WORK / "stand_in.pt"
if is_stand_in:
    config = variants.get_config(VARIANT)
    checkpoints.save_pt(official, lively_params(config), config)  # {"model": {name: tensor}}
    print("*** a stand-in with RANDOM weights: shapes are real, masks are not ***")
print(f"{official.name}: {official.stat().st_size / 1e6:.1f} MB")

# %% [markdown]
# ## Read it
#
# Which model it is follows from the names and shapes in the file, not from the file's own name. A
# `.pt` file holds a pickle, which is a program; it is read by an interpreter that knows nothing but
# tensors, so a malicious file cannot run anything.

# %%
import time

start = time.perf_counter()
loaded = checkpoints.load(str(official))
seconds = time.perf_counter() - start
print(f"SAM {loaded.config.version} {loaded.config.name}, read in {seconds:.1f} s")
print(f"sha256 {loaded.sha256}   <- compare it with one you trust")

# %% [markdown]
# ## Convert, once
#
# The same as
#
# ```
# python -m experiments.convert_checkpoint --input=FILE.pt --output=CHECKPOINT_DIR
# ```
#
# Converting saves the reading next time, and says of every tensor where it went. `content_sha256`
# is one sum over all weights, the same in every format.

# %%
from surgjax.checkpoints import conversion
from surgjax.checkpoints.fingerprint import format_table

done = conversion.convert(str(official), str(WORK / "converted"), "orbax")
lines = format_table(done.records).splitlines()
print("\n".join([*lines[:6], f"... {len(lines) - 9} more ...", *lines[-3:]]))
print(f"\n{len(done.records)} tensors, content sha256 {done.content_sha256[:16]}...")

# %% [markdown]
# Where the parameters are, by part of the model:

# %%
import matplotlib.pyplot as plt
import numpy as np

from surgjax.checkpoints.torch_export import flatten

sizes = {}
for path, array in flatten(loaded.params).items():
    part = path.split("/")[0]
    sizes[part] = sizes.get(part, 0) + array.size
top = sorted(sizes.items(), key=lambda item: item[1])[-6:]
figure, axis = plt.subplots(figsize=(7, 2.4), layout="tight")
bars = axis.barh([name for name, _ in top], [size / 1e6 for _, size in top], color="#0072B2")
axis.bar_label(bars, fmt="%.2f", padding=3)
axis.set_xlabel("parameters, millions")
axis.spines[["top", "right"]].set_visible(False)
axis.margins(x=0.12)
display(figure)
plt.close(figure)

# %% [markdown]
# ## Out again, bit for bit

# %%
back = conversion.convert(str(WORK / "converted"), str(WORK / "back"), "pt")
assert back.content_sha256 == done.content_sha256
(written,) = (WORK / "back").glob("*.pt")
same = written.read_bytes() == official.read_bytes()
print(f"official -> ours -> official: same weights, content sha256 {back.content_sha256[:16]}...")
print(f"the file is {'the same byte for byte' if same else 'packed otherwise (torch wrote yours)'}")

# %% [markdown]
# ## Files that are not what they seem
#
# A checkpoint that is loaded "as far as it fits" gives masks that are merely bad, and nobody knows
# why. Here a file must hold exactly the tensors of its model.

# %%
from surgjax.checkpoints.torch_writer import write_state_dict

state = checkpoints.export_official(loaded.params, loaded.config)
name = "memory_attention.norm.weight"
wrong_files = {
    "a tensor is missing": {k: v for k, v in state.items() if k != name},
    "a tensor too many": state | {"my_head.weight": np.zeros((2, 2), np.float32)},
    "another shape": state | {name: np.zeros(3, np.float32)},
}
refusals = {}
for what, tensors in wrong_files.items():
    write_state_dict(WORK / "wrong.pt", tensors)
    try:
        checkpoints.load(str(WORK / "wrong.pt"))
    except checkpoints.CheckpointError as error:
        refusals[what] = str(error)
        print(f"--- {what}\n{error}\n")
del wrong_files, state, tensors

# %% [markdown]
# ## Run it
#
# The converted folder goes wherever a checkpoint goes: `--checkpoint=CHECKPOINT_DIR`, or here.
# Masks of the file and of the folder are compared, to be sure.

# %%
import itertools

import surgjax
from surgjax.inference import VideoPredictor
from surgjax.inference.frames import open_video
from surgjax.ops.masks import label_map

ASSETS = Path(surgjax.__file__).parent / "assets"
frames = np.stack(list(itertools.islice(open_video(ASSETS / "demo_clip.mp4"), FRAMES)))


def track(checkpoint, image_size):
    """Labels of the forceps on every frame, from a box on the first."""
    predictor = VideoPredictor.from_checkpoint(str(checkpoint), image_size, keep_records=False)
    state = predictor.init_state(frames)
    predictor.add_new_points_or_box(state, frame_idx=0, obj_id=2, box=[0, 22, 133, 166])
    labels = [label_map(logits, ids) for _, ids, logits in predictor.propagate_in_video(state)]
    state.close()
    steps = predictor.timings["step_ms"]
    print(f"{Path(checkpoint).name}: {np.median(steps):.0f} ms a frame at {image_size} px")
    return np.stack(labels)


from_file = track(official, IMAGE_SIZE)
from_folder = track(WORK / "converted", IMAGE_SIZE)
print(f"pixels that differ: {np.count_nonzero(from_file != from_folder)}")

# %% [markdown]
# ## The same way with weights that mean something
#
# `nano`, ours, written in the official layout and read back.

# %%
from PIL import Image

from experiments import demo
from surgjax.viz.overlay import draw_overlay

nano = checkpoints.load("nano")
checkpoints.save_pt(WORK / "nano.pt", nano.params, nano.config)
labels = track(WORK / "nano.pt", NANO_SIZE)
truth = demo.read_truth()[0][:FRAMES] == 2
overlap = np.count_nonzero(truth & (labels == 2)) / np.count_nonzero(truth | (labels == 2))

names = {2: "bipolar forceps"}
title = "stand-in: random, meaningless" if is_stand_in else official.name
left = draw_overlay(frames[-1], from_file[-1], names, caption=title)
right = draw_overlay(frames[-1], labels[-1], names, caption="nano.pt")
both = Image.fromarray(np.hstack([left, right]))
display(both.resize((3 * both.width // 2, 3 * both.height // 2)))
print(f"nano.pt on this generated clip: J {overlap:.2f} against its exact truth")

# %% [markdown]
# With a real file, `IMAGE_SIZE = 1024` is what the official models were trained at. Then:
#
# ```
# python -m experiments.track --video=VIDEO.mp4 --prompts=prompts.json --output=RUN_DIR \\
#   --checkpoint=sam2.1_hiera_tiny.pt --precision=bf16
# ```

# %%
import json

result = {
    "model": f"{loaded.config.version} {loaded.config.name}",
    "tensors": len(done.records),
    "round trip is exact": bool(back.content_sha256 == done.content_sha256),
    "refused": refusals,
    "pixels that differ": int(np.count_nonzero(from_file != from_folder)),
    "nano J": float(overlap),
}
for path in WORK.iterdir():  # hundreds of megabytes; what came of a file of yours stays
    if is_stand_in or path.name != "converted":
        shutil.rmtree(path) if path.is_dir() else path.unlink()
_ = (WORK / "result.json").write_text(json.dumps(result, indent=2) + "\n")
