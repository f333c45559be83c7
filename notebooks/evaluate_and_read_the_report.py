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
# # Evaluate, and read the report
#
# Track a few clips, score the masks by a published protocol, and learn what the numbers in the
# report mean, which frames went worst, and what a score must beat: an empty mask and a mask that
# never moves.
#
# It takes about half a minute on a laptop's CPU. Nothing is downloaded. All clips are
# **generated**, with a truth that is exact to the pixel, and the bundled weights (`nano`) were
# trained on other generated scenes. The scores say nothing about real surgery; how to read them is
# the same.

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
CHECKPOINT = "nano"  # @param {type: "string"}
IMAGE_SIZE = 64 if DEBUG else None  # None: the model's own
FRAMES = 8 if DEBUG else 40  # of each clip
SEEDS = range(10_000_400, 10_000_401 if DEBUG else 10_000_403)  # never trained on
WORK = Path("results/evaluate_and_read_the_report")

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
    print("\n*** ONLY A CPU: fine for these clips and nano. ***")
    print("*** Colab: Runtime > Change runtime type > GPU, then run all again. ***")
if REQUIRE_ACCELERATOR:
    devices.require_accelerator()
enable_cache()  # compiled programs are kept
WORK.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Clips with their truth
#
# Folders as DAVIS has them: one folder per clip, one PNG per frame, pixel values are object ids.
# Yours would look the same. Objects that the first frame does not show are left out of the truth,
# since nobody could prompt them there.

# %%
import itertools

import numpy as np
from PIL import Image

import surgjax
from experiments import demo
from surgjax.inference.frames import open_video
from surgjax.inference.mask_writer import write_palette_png
from surgjax.synthetic.clip import generate_clip
from surgjax.synthetic.config import PRESETS
from surgjax.viz.overlay import draw_overlay

shutil.rmtree(WORK)
ASSETS = Path(surgjax.__file__).parent / "assets"
frames = np.stack(list(itertools.islice(open_video(ASSETS / "demo_clip.mp4"), FRAMES)))
clips = {"bundled": (frames, demo.read_truth()[0][:FRAMES])}
for seed in SEEDS:
    clip = generate_clip(seed, FRAMES, 256, PRESETS["clear"])
    clips[f"seed_{seed}"] = (clip.frames_u8, clip.label_maps)

for name, (frames, truth) in clips.items():
    truth = np.where(np.isin(truth, np.unique(truth[0])), truth, 0)
    clips[name] = (frames, truth)
    for part in ("frames", "truth"):
        (WORK / part / name).mkdir(parents=True)
    for t in range(len(frames)):
        Image.fromarray(frames[t]).save(WORK / "frames" / name / f"{t:05d}.png")
        write_palette_png(WORK / "truth" / name / f"{t:05d}.png", truth[t])

shown = [draw_overlay(frames[0], truth[0], caption=name) for name, (frames, truth) in clips.items()]
display(Image.fromarray(np.hstack(shown)))

# %% [markdown]
# ## Track, from a box on the first frame

# %%
from surgjax.evaluation.prompting import tight_box
from surgjax.inference import VideoPredictor
from surgjax.inference.progress import Progress
from surgjax.ops.masks import label_map

predictor = VideoPredictor.from_checkpoint(CHECKPOINT, image_size=IMAGE_SIZE, keep_records=False)
progress = Progress("tracked", sum(len(frames) for frames, _ in clips.values()))
for name, (frames, truth) in clips.items():
    folder = WORK / "masks" / "nano" / name
    folder.mkdir(parents=True)
    state = predictor.init_state(frames)
    for object_id in np.unique(truth[0][truth[0] > 0]).tolist():
        box = tight_box(truth[0] == object_id)
        predictor.add_new_points_or_box(state, frame_idx=0, obj_id=object_id, box=box)
    for t, ids, logits in predictor.propagate_in_video(state):
        write_palette_png(folder / f"{t:05d}.png", label_map(logits, ids))
        progress.step() if progress.done else progress.first_step()
    state.close()
progress.finish()

# %% [markdown]
# ## Two controls
#
# A score means little alone. *Empty* never finds anything. *Frozen* repeats the mask of the first
# frame, as a tracker would that only looks once. What a tracker is worth is what it adds to these.

# %%
from surgjax.inference.mask_writer import read_palette_png

for name, (frames, _) in clips.items():
    for control in ("empty", "frozen"):
        folder = WORK / "masks" / control / name
        folder.mkdir(parents=True)
        first = read_palette_png(WORK / "masks" / "nano" / name / "00000.png")
        for t in range(len(frames)):
            mask = first if control == "frozen" else np.zeros_like(first)
            write_palette_png(folder / f"{t:05d}.png", mask)

# %% [markdown]
# ## Score
#
# The same on the command line, for masks of any program:
#
# ```
# python -m experiments.evaluate --predictions=MASKS --ground_truth=TRUTH --protocol=davis17 \\
#   --output=REPORT_DIR --frames=FRAMES --prompted=first --prompt_source="box on frame 0"
# ```

# %%
from surgjax.evaluation import html_report, report_files
from surgjax.evaluation.folder_run import score_folders

reports = {
    run: score_folders(
        "davis17",
        str(WORK / "masks" / run),
        str(WORK / "truth"),
        prompt_source="box on the first frame",
        split="generated scenes",
    )
    for run in ("nano", "empty", "frozen")
}
print(report_files.summary_text(reports["nano"]))

# %% [markdown]
# ## What the columns say
#
# | column | meaning |
# |---|---|
# | `J` | overlap of mask and truth: their intersection over their union, mean over the frames |
# | `F` | agreement of the outlines, within 0.8 % of the image's diagonal |
# | `JF` | the mean of the two, the number that papers print as J&F |
# | `..._recall` | share of the frames above 0.5: one minus it is how often the object is lost |
# | `..._decay` | first quarter of the frames less the last: above 0, tracking gets worse |
# | `Dice` | overlap as medical papers count it, never below J |
# | `false_positive_rate` | of the frames without the object, the share with a mask of it |
#
# The first frame (it was prompted) and the last do not count under `davis17`. A frame on which
# neither truth nor mask shows the object scores 1: staying silent while it is away is right.
#
# Beside the controls:

# %%
rows = [
    {"run": run, **{key: report[key] for key in ("J", "F", "JF")}}
    for run, report in reports.items()
]
print(report_files.text_table(rows))
print("\nempty, object by object:")
objects = reports["empty"]["per_object"]
print(report_files.text_table([{k: r[k] for k in ("sequence", "object", "JF")} for r in objects]))

# %% [markdown]
# *Empty* is 0 for whatever stays in sight, and above 0 only for an object that leaves: on those
# frames an empty mask is right. *Frozen* scores well where little moves. So look at how much moves
# in a clip before being pleased with a number.
#
# ## The report as a page
#
# One file without scripts that opens without a network. The comparison gives the difference to each
# control; its intervals draw whole clips again, and with so few clips they are too narrow, as the
# page says itself. Scroll inside the frame.

# %%
from html import escape

from IPython.display import HTML

from surgjax.evaluation.page_options import PageOptions

report = reports["nano"]
options = PageOptions(str(WORK / "frames"), ("first",))
page = html_report.build_page(
    report,
    others={"empty": reports["empty"], "frozen": reports["frozen"]},
    prompted=options.marks(report),
    frames=options.frames,
    name="nano",
)
files = report_files.write_report(report, report_files.open_output(WORK / "report"), page)
print(f"{', '.join(path.name for path in files)} in {WORK / 'report'}")
frame = f'<iframe srcdoc="{escape(page)}" style="width:100%;height:600px"></iframe>'
display(HTML(f"<div>{frame}</div>"))

# %% [markdown]
# ## The worst frames
#
# Look here first: a mean hides what a picture shows at once. Blue was found, orange was missed,
# purple is false. Every object gives its worst frame before any gives a second.

# %%
from surgjax.evaluation import mask_folders, worst_frames

folders = [mask_folders.find_sequences(report[k], k) for k in ("predictions", "ground_truth")]
pairs = {pair.name: pair for pair in mask_folders.pair_sequences(*folders, "error")[0]}
stems = report["stems"]
scored = [
    row
    for row in report["tables"]["per_frame"]
    if row["frame"] not in (stems[row["sequence"]][0], stems[row["sequence"]][-1])
]
worst = worst_frames.worst_rows(scored, 4)
pictures = []
for row in worst:
    place = (pairs[row["sequence"]], row["object"], row["frame"])
    pictures.append(worst_frames.draw(*place, options.frames).pixels)
    where = f"{row['sequence']}, object {row['object']}, frame {row['frame']}"
    print(f"{where}: J {row['J']:.2f}, F {row['F']:.2f}")
display(Image.fromarray(np.hstack(pictures)))

# %% [markdown]
# What to ask of each: is it the wrong object (prompts too sparse, look-alikes), the right object
# with a bad outline (resolution), or an object that was away and came back (memory)? The three have
# different cures. More protocols (EndoVis, HOTA, temporal) are in `docs/evaluation.md`.

# %%
import json

result = {run: {key: report[key] for key in ("J", "F", "JF")} for run, report in reports.items()}
_ = (WORK / "result.json").write_text(json.dumps(result, indent=2) + "\n")
