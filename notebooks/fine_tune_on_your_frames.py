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
# # Fine-tune on your frames
#
# A folder of frames and masks in, weights out that the predictor takes: check and prepare the
# folder, train a chosen part of the bundled `nano` for a few steps, score videos that were kept
# apart before and after, and load the result.
#
# It takes about three minutes on a laptop's CPU. Nothing is downloaded. The folder is a stand-in:
# **generated** operations, laid out as yours would be. Training is far too short for more than a
# look at how it goes, and a gain here says nothing about real surgery.

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
FOLDER = ""  # @param {type: "string"}
CHECKPOINT = ""  # @param {type: "string"}
RECIPE = "decoder_only"  # @param ["decoder_only", "frozen_encoder", "memory_only", "full"]
STEPS = 2 if DEBUG else 40
VARIANT, IMAGE_SIZE = ("debug", 64) if DEBUG else ("nano", 256)  # of the model that is trained
CLIP_FRAMES, CORRECTIONS = (
    (2, 0) if DEBUG else (4, 1)
)  # frames of a training clip, and clicks on it
VIDEOS = {"train": 1, "val": 1} if DEBUG else {"train": 6, "val": 3}  # of the stand-in
VIDEO_FRAMES, VIDEO_SIDE = (4, 64) if DEBUG else (24, 256)
WORK = Path("results/fine_tune_on_your_frames")

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
    print("\n*** ONLY A CPU: fine for nano; official models want a GPU. ***")
    print("*** Colab: Runtime > Change runtime type > GPU, then run all again. ***")
if REQUIRE_ACCELERATOR:
    devices.require_accelerator()
enable_cache()  # compiled programs are kept
WORK.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Your frames and masks
#
# ```
# FOLDER/JPEGImages/<video>/00000.jpg ...     frames
# FOLDER/Annotations/<video>/00000.png ...    masks: value = object, 0 background, 255 ignored
# FOLDER/ImageSets/train.txt, val.txt         which video is for what, one name a line
# ```
#
# Frames may lack a mask. Put the path into `FOLDER` above; without one, this draws a stand-in.

# %%
import numpy as np
from PIL import Image

from surgjax.inference.mask_writer import read_palette_png, write_palette_png
from surgjax.synthetic.clip import generate_clip
from surgjax.synthetic.config import PRESETS
from surgjax.viz.overlay import draw_overlay

shutil.rmtree(WORK)
WORK.mkdir(parents=True)
folder = Path(FOLDER) if FOLDER else WORK / "my_cases"
if not FOLDER:
    seeds = {"train": 500_000, "val": 10_000_500}  # the latter nothing here was trained on
    for split, count in VIDEOS.items():
        names = [f"{split}{k}" for k in range(count)]
        (folder / "ImageSets").mkdir(parents=True, exist_ok=True)
        (folder / "ImageSets" / f"{split}.txt").write_text("\n".join(names) + "\n")
        for k, name in enumerate(names):
            clip = generate_clip(seeds[split] + k, VIDEO_FRAMES, VIDEO_SIDE, PRESETS["surgery"])
            for part in ("JPEGImages", "Annotations"):
                (folder / part / name).mkdir(parents=True)
            for t in range(VIDEO_FRAMES):
                Image.fromarray(clip.frames_u8[t]).save(
                    folder / "JPEGImages" / name / f"{t:05d}.jpg", quality=95
                )
                path = folder / "Annotations" / name / f"{t:05d}.png"
                write_palette_png(path, clip.label_maps[t])

pictures = []
for masks in sorted((folder / "Annotations").iterdir())[:4]:
    path = min(masks.glob("*.png"))
    (image,) = (folder / "JPEGImages" / masks.name).glob(f"{path.stem}.*")
    frame = np.array(Image.open(image).convert("RGB"))
    pictures.append(draw_overlay(frame, read_palette_png(path), caption=masks.name))
if len({picture.shape for picture in pictures}) == 1:
    pictures = [np.hstack(pictures)]
for picture in pictures:
    display(Image.fromarray(picture))

# %% [markdown]
# ## Check and prepare
#
# Every file is opened; what is wrong is named. The same on the command line:
#
# ```
# python -m experiments.prepare_data --dataset=davis_folder --manual_dir=FOLDER --data_dir=DATA
# ```

# %%
from experiments import data_preparation

data = WORK / "data"
options = data_preparation.PrepareOptions(
    dataset="davis_folder", manual_dir=str(folder), data_dir=str(data)
)
assert data_preparation.run(options) == 0

# %% [markdown]
# ## Before
#
# Videos of the split `val`, each object given by a box on the first frame that shows it. They need
# a mask on every frame here; `python -m experiments.evaluate_model` takes others too.

# %%
from surgjax import checkpoints, metrics
from surgjax.evaluation.prompting import tight_box
from surgjax.inference import VideoPredictor
from surgjax.inference.frames import open_video
from surgjax.models.variants import get_config
from surgjax.ops.masks import label_map
from surgjax.testing import lively_params

checkpoint = CHECKPOINT or "nano"
if DEBUG and not CHECKPOINT:  # tests train a toy of random weights
    config = get_config(VARIANT, image_size=IMAGE_SIZE)
    checkpoint = str(WORK / "toy.safetensors")
    checkpoints.save_safetensors(checkpoint, lively_params(config), config)
val = (folder / "ImageSets" / "val.txt").read_text().split()


def track(weights):
    """Labels of every validation video, and their J&F by the rule of DAVIS 2017."""
    predictor = VideoPredictor.from_checkpoint(str(weights), IMAGE_SIZE, keep_records=False)
    found, scores = {}, metrics.init_state()
    for name in val:
        masks = sorted((folder / "Annotations" / name).glob("*.png"))
        truth = np.stack([read_palette_png(path) for path in masks])
        state = predictor.init_state(folder / "JPEGImages" / name)
        ids = np.unique(truth[(truth > 0) & (truth < 255)]).tolist()
        for object_id in ids:
            start = int(np.argmax((truth == object_id).any((1, 2))))
            box = tight_box(truth[start] == object_id)
            box[2:] = np.maximum(box[2:], box[:2] + 1)
            predictor.add_new_points_or_box(state, start, object_id, box=box)
        found[name] = np.zeros_like(truth)
        for t, tracked, logits in predictor.propagate_in_video(state, start_frame_idx=0):
            found[name][t] = label_map(logits, tracked)
        state.close()
        for object_id, score in metrics.score_label_maps(found[name], truth, ids).items():
            scores = metrics.update(scores, name, object_id, score)
    return found, metrics.compute(scores)


found_before, before = track(checkpoint)
print(f"before: J&F {before['J&F']:.3f}, {len(before['objects'])} objects in {len(val)} videos")

# %% [markdown]
# ## Train
#
# The launcher's own config with a few values changed; the same on the command line:
#
# ```
# python -m experiments.promptable_sam2.main --config=configs/promptable_sam2/davis_folder.py \\
#   --data=DATA --workdir=RUN_DIR --config.recipe=decoder_only --config.model.variant=nano ...
# ```
#
# `RECIPE` chooses what is trained; what is frozen costs neither gradient nor memory for it.
# `decoder_only` trains the mask decoder, `frozen_encoder` all but the image encoder. For an
# official model, set `VARIANT` to its name and `CHECKPOINT` to its file.

# %%
from configs.promptable_sam2 import davis_folder
from experiments.promptable_sam2 import running

config = davis_folder.get_config()
config.dtype, config.recipe, config.seed = "float32", RECIPE, 0
config.model.update(variant=VARIANT, image_size=IMAGE_SIZE)
config.init.checkpoint = checkpoint
config.train_data.folder = str(data)
config.train_data.clip.update(size=IMAGE_SIZE, batch=1, threads=1)
config.train_data.clip.sampler.update(frames=CLIP_FRAMES, objects=2)
config.stages = ({"steps": STEPS, "shares": {"clip": 1.0}},)
config.prompts.update(conditioning_frames=1, corrected_frames=1, corrections=CORRECTIONS)
config.optim.update(lr=2e-5, final_lr=2e-6)
config.loop.update(ema_decay=0.9, log_every=10, checkpoint_every=STEPS, eval_every=STEPS)
config.eval.update(images=1, videos=1, frames=4, objects=2, pictures=1)
running.check(config)
run_dir = WORK / "run"
_ = running.run(config, str(run_dir))

# %% [markdown]
# ## How the loss went
#
# Each step draws another clip and other prompts, so values jump; the line is a running mean. In a
# few dozen steps it need not fall: some clips are harder than others.

# %%
import matplotlib.pyplot as plt

from surgjax.train import metrics_file

steps = [line for line in metrics_file.read_lines(run_dir / "metrics.jsonl") if "loss" in line]
losses = np.array([line["loss"] for line in steps])
window = min(10, len(losses))
figure, axis = plt.subplots(figsize=(7, 2.6), layout="tight")
axis.plot(np.arange(1, len(losses) + 1), losses, ".", color="#56B4E9", label="a step")
mean = np.convolve(losses, np.ones(window) / window, "valid")
axis.plot(np.arange(window, len(losses) + 1), mean, color="#0072B2", label=f"mean of {window}")
axis.set_xlabel("step")
axis.set_ylabel("loss")
axis.set_yscale("log")
axis.legend(frameon=False)
axis.spines[["top", "right"]].set_visible(False)
display(figure)
plt.close(figure)

# %% [markdown]
# ## What was trained
#
# The export loads like any checkpoint. Parts that the recipe freezes are the same to the last bit.

# %%
from surgjax.checkpoints.torch_export import flatten

old = flatten(checkpoints.load(checkpoint).params)
new = flatten(checkpoints.load(str(run_dir / "export")).params)
changed = {}
for path, array in new.items():
    moved, total = changed.get(path.split("/")[0], (0, 0))
    is_moved = array.size * bool((array != old[path]).any())
    changed[path.split("/")[0]] = (moved + is_moved, total + array.size)
for part, (moved, total) in changed.items():
    print(f"{part:<24} {total:>10,} parameters, {moved / total:6.1%} in tensors that changed")

# %% [markdown]
# ## After

# %%
found_after, after = track(run_dir / "export")
rows = zip(before["objects"], after["objects"], strict=True)
print("video, object      before  after")
for was, now in rows:
    print(f"{was['video']:>10} {was['id']:>4} {was['J&F']:>10.3f} {now['J&F']:>6.3f}")
print(f"{'mean':>15} {before['J&F']:>10.3f} {after['J&F']:>6.3f}")

name, t = val[0], len(found_after[val[0]]) // 2
frame = open_video(folder / "JPEGImages" / name)[t]
truth = read_palette_png(sorted((folder / "Annotations" / name).glob("*.png"))[t])
views = {"truth": truth, "before": found_before[name][t], "after": found_after[name][t]}
pictures = [draw_overlay(frame, labels, caption=title) for title, labels in views.items()]
display(Image.fromarray(np.hstack(pictures)))

# %% [markdown]
# A difference of a point or two on so few objects is noise: train on more cases, and score enough
# videos that the interval of `experiments.evaluate --compare` leaves zero out. `docs/training.md`
# has the configs for public data sets and what to do about memory, `docs/recipes.md` the recipes.
#
# From here on the weights are a checkpoint like any other:
#
# ```
# python -m experiments.track --video=VIDEO.mp4 --prompts=prompts.json --output=OUT \\
#   --checkpoint=RUN_DIR/export
# ```

# %%
import json

result = {
    "losses": losses.tolist(),
    "before": before["J&F"],
    "after": after["J&F"],
    "changed": {part: moved / total for part, (moved, total) in changed.items()},
}
_ = (WORK / "result.json").write_text(json.dumps(result, indent=2) + "\n")
