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
# # Track your video
#
# Point at objects on one frame and follow them through a video; correct a frame where a mask is
# wrong, and track again. You leave with a `prompts.json` that `python -m experiments.track` reads,
# one mask per frame, and an overlay video.
#
# It takes about a minute on a laptop's CPU, most of it compiling, which is kept for next time.
# Nothing is downloaded. Without a video of yours the bundled clip is tracked: it is **generated**,
# no real operation, and so were the scenes that the bundled weights (`nano`) were trained on. How
# well it goes says nothing about real surgery.

# %% [markdown]
# ## Settings
#
# Everything that has a size is here. With `SURGJAX_NOTEBOOK_DEBUG=1` in the environment the same
# cells run on tiny pictures, as our tests run them.

# %%
import os
from pathlib import Path

DEBUG = os.environ.get("SURGJAX_NOTEBOOK_DEBUG") == "1"
REQUIRE_ACCELERATOR = False  # @param {type: "boolean"}
REPOSITORY = "REPOSITORY"  # @param {type: "string"}
VIDEO = ""  # @param {type: "string"}
UPLOAD = False  # @param {type: "boolean"}
CHECKPOINT = "nano"  # @param {type: "string"}
IMAGE_SIZE = 64 if DEBUG else None  # None: the model's own
WORK = Path("results/track_your_video")

# %% [markdown]
# ## Install
#
# Only where surgjax is missing, as on a fresh Colab runtime. There, put the address of the
# repository into `REPOSITORY` above. If Colab asks for a restart afterwards, restart and run all.

# %%
import importlib.util
import shutil

from IPython import get_ipython
from IPython.display import Video, display

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
    print("\n*** ONLY A CPU: fine for this clip and nano, slow for the official models. ***")
    print("*** Colab: Runtime > Change runtime type > GPU, then run all again.        ***")
if REQUIRE_ACCELERATOR:
    devices.require_accelerator()
enable_cache()  # compiled programs are kept
WORK.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The video
#
# `VIDEO` may be a video file or a folder of JPEG or PNG frames. On Colab, tick `UPLOAD` to send
# one from your computer.

# %%
import surgjax
from surgjax.inference.frames import open_video
from surgjax.viz.contact_sheet import ContactSheet, even_indices

ASSETS = Path(surgjax.__file__).parent / "assets"
if UPLOAD:
    from google.colab import files

    VIDEO = next(iter(files.upload()))
IS_BUNDLED = not VIDEO
video_path = Path(VIDEO) if VIDEO else ASSETS / "demo_clip.mp4"
source = open_video(video_path)
print(f"{video_path.name}: {len(source)} frames of {source.width} x {source.height}")

shown = even_indices(range(len(source)), 8)
sheet = ContactSheet(shown, 8)
for frame_index in shown:
    sheet.add(frame_index, source[frame_index])
display(sheet.image())

# %% [markdown]
# ## One frame, with rulers
#
# Read coordinates off the rulers: x to the right, y down, in pixels of the video. To click instead,
# run `python -m experiments.annotate` in a clone; it writes the same `prompts.json`.

# %%
import matplotlib.pyplot as plt
import numpy as np

PROMPT_FRAME = 0  # @param {type: "integer"}

figure, axis = plt.subplots(figsize=(7, 7 * source.height / source.width), layout="tight")
axis.imshow(source[PROMPT_FRAME])
axis.grid(color="white", alpha=0.35, linewidth=0.6)
axis.set_title(f"frame {PROMPT_FRAME}")
display(figure)
plt.close(figure)

# %% [markdown]
# ## Say what to follow
#
# One line per object, empty for none: a `box` as `[x0, y0, x1, y1]`, or `points` with a label each
# (1 on the object, 0 off it). The grasper gets a single click on its jaws, on purpose: one click
# may mean the jaws or the whole instrument.

# %%
import json

from surgjax.inference.prompt_file import read_prompts

OBJECT_1 = '{"name": "gallbladder", "box": [155, 72, 255, 255]}'  # @param {type: "string"}
OBJECT_2 = '{"name": "bipolar forceps", "box": [0, 22, 133, 166]}'  # @param {type: "string"}
OBJECT_3 = '{"name": "grasper", "points": [[170, 172]], "labels": [1]}'  # @param {type: "string"}

objects = []
for number, text in enumerate((OBJECT_1, OBJECT_2, OBJECT_3), 1):
    if text:
        prompt = json.loads(text)
        name = prompt.pop("name")
        objects.append({"id": number, "name": name, "prompts": [{"frame": PROMPT_FRAME, **prompt}]})
names = {item["id"]: item["name"] for item in objects}

prompts_path = WORK / "prompts.json"
prompts_path.write_text(json.dumps({"objects": objects}, indent=2) + "\n")
size = {"width": source.width, "height": source.height, "num_frames": len(source)}
prompt_file = read_prompts(prompts_path, **size)  # refuses what does not fit the video
print(json.dumps({"objects": objects}))

# %% [markdown]
# ## The first answer
#
# The first call compiles.

# %%
from PIL import Image

from surgjax.inference import VideoPredictor
from surgjax.ops.masks import label_map
from surgjax.viz.overlay import PromptMarks, draw_overlay

predictor = VideoPredictor.from_checkpoint(CHECKPOINT, image_size=IMAGE_SIZE)
state = predictor.init_state(source)
marks = {}  # frame -> what was said there, to be drawn


def tell(object_id, prompt):
    """Gives one prompt of the file to the predictor; the labels of its frame."""
    points, labels, box = prompt.points_xy, prompt.labels, prompt.box_xyxy
    marks.setdefault(prompt.frame_index, []).append(PromptMarks(object_id, points, labels, box))
    _, ids, logits = predictor.add_new_points_or_box(
        state, prompt.frame_index, object_id, points=points, labels=labels, box=box
    )
    return label_map(logits, ids)


for item in prompt_file.objects:
    answer = tell(item.object_id, item.prompts[0])
first = draw_overlay(source[PROMPT_FRAME], answer, names, marks=marks[PROMPT_FRAME])
display(Image.fromarray(first).resize((2 * source.width, 2 * source.height)))

# %% [markdown]
# ## Track
#
# Frames are read and masks written one by one, so a long video needs no more memory than this one.

# %%
from surgjax.inference.mask_writer import MaskWriter
from surgjax.inference.progress import Progress
from surgjax.viz.result_pictures import ResultPictures


def track():
    """Propagates all prompts given so far; writes masks, overlay.mp4 and sheet.png."""
    size, frames = (source.height, source.width), range(PROMPT_FRAME, len(source))
    writer = MaskWriter(WORK, list(names), len(source), size)
    pictures = ResultPictures(WORK, frames, size, source.fps or 25, names)
    progress = Progress("tracked", len(frames))
    for frame_index, ids, logits in predictor.propagate_in_video(state):
        writer.add(frame_index, ids, logits)
        labels, scores = writer.read(frame_index), writer.scores(frame_index)
        said = marks.get(frame_index, ())
        pictures.add(frame_index, source[frame_index], labels, scores, said)
        progress.step() if progress.done else progress.first_step()
    progress.finish()
    pictures.close()
    pictures.save_sheet()
    return writer


writer = track()
display(Image.open(WORK / "sheet.png"))

# %%
display(Video(str(WORK / "overlay.mp4"), embed=True, width=480, html_attributes="controls loop"))

# %% [markdown]
# The number beside a name is how sure the model is inside its own mask. It is no score: it is high
# for the jaws alone too.
#
# For the bundled clip the truth is known to the pixel, so masks can be scored. J is the overlap
# with the truth, F how well the outlines agree, 1 is best; the first and last frame do not count
# (the rule of DAVIS 2017).

# %%
from experiments import demo

before = demo.score(WORK / "masks") if IS_BUNDLED else None
if before:
    print(demo.table(before))

# %% [markdown]
# ## Correct a frame
#
# Of the grasper little more than the jaws was found. Two clicks on a later frame, on its wrist and
# its shaft, say what is meant. For a video of yours, put in a frame that went wrong.
#
# As a `correction` they are answered when tracking comes to that frame, with the mask found there
# and the memory of the frames before, and they count from there on.

# %%
CORRECT = True  # @param {type: "boolean"}
CORRECT_FRAME = 12  # @param {type: "integer"}
CORRECT_OBJECT = 3  # @param {type: "integer"}
CORRECTION = '{"points": [[105, 190], [70, 230]], "labels": [1, 1]}'  # @param {type: "string"}

if CORRECT:
    (item,) = (item for item in objects if item["id"] == CORRECT_OBJECT)
    item["prompts"].append({"frame": CORRECT_FRAME, **json.loads(CORRECTION), "correction": True})
    prompts_path.write_text(json.dumps({"objects": objects}, indent=2) + "\n")
    prompt_file = read_prompts(prompts_path, **size)
    (told,) = (item for item in prompt_file.objects if item.object_id == CORRECT_OBJECT)
    (prompt,) = (p for p in told.prompts if p.frame_index == CORRECT_FRAME)

    points, labels = prompt.points_xy, prompt.labels
    marks[CORRECT_FRAME] = [PromptMarks(CORRECT_OBJECT, points, labels)]
    predictor.add_correction(state, CORRECT_FRAME, CORRECT_OBJECT, points=points, labels=labels)
    wrong = draw_overlay(source[CORRECT_FRAME], writer.read(CORRECT_FRAME), names, caption="before")

# %% [markdown]
# ## Track again
#
# The frames before the correction are what they were; those behind it follow from it.

# %%
writer = track()
if CORRECT:
    answer, said = writer.read(CORRECT_FRAME), marks[CORRECT_FRAME]
    right = draw_overlay(source[CORRECT_FRAME], answer, names, marks=said, caption="corrected")
    both = Image.fromarray(np.hstack([wrong, right]))
    display(both.resize((3 * source.width, 3 * source.height // 2)))
display(Image.open(WORK / "sheet.png"))
after = demo.score(WORK / "masks") if IS_BUNDLED else None
if after:
    print(demo.table(after))
    print(f"\nJ&F {before['J&F']:.3f} before the correction, {after['J&F']:.3f} after it")

# %% [markdown]
# ## What took the time
#
# Compiling happens once per image size and number of objects (1, 4, 8, ...), not once per video.

# %%
steps = np.array(predictor.timings["step_ms"])
print(f"compiling     {predictor.timings['compile_seconds']:8.1f} s, once")
print(f"a frame       {np.median(steps):8.1f} ms (median of {len(steps)}, {len(names)} objects)")
print(f"that is       {1000 / np.median(steps):8.1f} frames/s, the model alone")
print(f"on            {devices.describe_devices()}")

# %% [markdown]
# ## What you have now
#
# `prompts.json` is all it takes to track again, to the same masks, also on another machine:
#
# ```
# python -m experiments.track --video=VIDEO.mp4 --prompts=prompts.json --output=RUN_DIR
# ```
#
# `masks/` has one palette PNG per frame, whose values are the object ids. On Colab,
# `files.download(...)` fetches them; everything is gone when the runtime is.

# %%
for path in sorted(WORK.iterdir()):
    print(path)
result = {
    "J&F before": before and before["J&F"],
    "J&F after": after and after["J&F"],
    "masks": len(list((WORK / "masks").glob("*.png"))),
    "compile seconds": predictor.timings["compile_seconds"],
    "frame ms": float(np.median(steps)),
}
_ = (WORK / "result.json").write_text(json.dumps(result, indent=2) + "\n")
