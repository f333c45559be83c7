"""Small real inputs under the names that the pages use for the reader's own files.

Axes:    frames uint8 [T, H, W, 3].
Units:   pixels of the bundled clip, 256 by 256.
"""

import json
from pathlib import Path

from PIL import Image

from experiments.promptable_sam2 import debug_data
from surgjax import checkpoints
from surgjax.inference.frames import open_video
from surgjax.testing import debug_config, lively_params
from surgjax.viz.video_writer import VideoWriter
from tests.docs.pages import ROOT
from tests.evaluation.folders import square, write
from tests.evaluation.tracked_folders import write_davis
from tfds_builders import registry

CLIP = ROOT / "surgjax" / "assets" / "demo_clip.mp4"
FRAMES = 5


def _video(path: Path) -> None:
    with open_video(CLIP) as source:
        writer = VideoWriter(path, 25, source.height, source.width)
        for t in range(FRAMES):
            writer.write(source[t])
        writer.close()


def _frames(folder: Path) -> None:
    folder.mkdir()
    with open_video(CLIP) as source:
        for t in range(FRAMES):
            Image.fromarray(source[t]).save(folder / f"{t:05d}.jpg")


def _prompts(path: Path) -> None:
    first = {"frame": 0, "points": [[60, 90], [200, 30]], "labels": [1, 0]}
    second = {"frame": 3, "points": [[70, 95]]}
    objects = [
        {"id": 1, "name": "grasper", "prompts": [first, second]},
        {"id": 2, "prompts": [{"frame": 1, "box": [0, 22, 133, 166]}]},
    ]
    path.write_text(json.dumps({"objects": objects}))


def _labels(path: Path) -> None:
    write(path.parent, [square((1, 20, 30, 60), (7, 150, 140, 50), size=(256, 256))])
    (path.parent / "00000.png").rename(path)


def _video_list(path: Path) -> None:
    for name in ("case01", "case02"):
        _video(path.parent / f"{name}.mp4")
        _prompts(path.parent / f"{name}.json")
    lines = ({"video": f"{n}.mp4", "prompts": f"{n}.json"} for n in ("case01", "case02"))
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def _official_file(path: Path) -> None:
    config = debug_config()
    checkpoints.save_pt(path, lively_params(config), config)


def _own_folder(path: Path) -> None:
    config = debug_config()
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoints.save_params(path, lively_params(config), config)


def _masks(folder: Path) -> None:
    write(folder, [square((1, 4, 4 + t, 10), (2, 20, 30, 12)) for t in range(FRAMES)])


def _archive(name: str):
    def make(folder: Path) -> None:
        registry.fake(name).make(folder)

    return make


# Path in the pages -> what makes it. A command finds it there unless one before made it.
MAKERS = {
    "VIDEO.mp4": _video,
    "FRAMES": _frames,
    "prompts.json": _prompts,
    "labels.png": _labels,
    "videos.jsonl": _video_list,
    "sam2.1_hiera_tiny.pt": _official_file,
    "CHECKPOINT_DIR": _own_folder,
    "RUN_DIR/export": _own_folder,
    "RUN_DIR/masks": _masks,
    "TRUTH_DIR": _masks,
    "ARCHIVE": _archive("endovis18"),
    "FOLDER": _archive("davis_folder"),
    "DATA": lambda folder: debug_data.write_sets(folder, ["cholecseg8k"]),
    "DAVIS": write_davis,
}
