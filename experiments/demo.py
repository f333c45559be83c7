"""Tracks the bundled clip with the bundled nano and scores it: `make demo`.

Both the clip and its truth are generated (`surgjax.synthetic.make_demo_clip`), so the score is
exact, and is one of a generated scene. The bundled weights were trained on other generated scenes.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags

import surgjax
from experiments import tracking
from experiments.track_options import TrackOptions
from surgjax import metrics
from surgjax.inference.mask_writer import read_palette_png, write_file

ASSETS = Path(surgjax.__file__).parent / "assets"

_OUTPUT = flags.DEFINE_string("output", "demo_output", "Folder for the results; replaced.")


def read_truth() -> tuple[np.ndarray, dict[int, str]]:
    """Exact labels of the clip, uint8 [T, H, W], and the names of its objects."""
    with np.load(ASSETS / "demo_clip_masks.npz") as truth:
        names = dict(zip(truth["object_ids"].tolist(), truth["object_names"].tolist(), strict=True))
        return truth["label_maps"], names


def score(masks: Path) -> dict[str, Any]:
    """J&F by the DAVIS 2017 rule of the written masks, with each object's name."""
    truth, names = read_truth()
    tracked = np.stack([read_palette_png(path) for path in sorted(masks.glob("*.png"))])
    state = metrics.init_state()
    for object_id, scores in metrics.score_label_maps(tracked, truth, names).items():
        state = metrics.update(state, "demo_clip", object_id, scores)
    result = metrics.compute(state)
    for item in result["objects"]:
        item["name"] = names[item["id"]]
    return result


def table(result: dict[str, Any]) -> str:
    """The scores as text, one line per object and one for their mean."""
    scored = [(f"{item['id']} {item['name']}", item) for item in result["objects"]]
    rows = [
        (name, item["J"]["mean"], item["F"]["mean"], item["J&F"])
        for name, item in [*scored, ("mean", result)]
    ]
    width = max(len(name) for name, *_ in rows)
    lines = [f"{'object':<{width}}      J      F    J&F"]
    lines += [f"{name:<{width}}  {j:.3f}  {f:.3f}  {both:.3f}" for name, j, f, both in rows]
    return "\n".join(lines)


def run(output: str = "demo_output", **options: Any) -> dict[str, Any]:
    """Tracks and scores; Returns what scores.json holds. `options` go to TrackOptions."""
    start, folder = time.perf_counter(), Path(output)
    (folder / "scores.json").unlink(missing_ok=True)  # never an old score beside new masks
    tracking.run(
        TrackOptions(
            video=str(ASSETS / "demo_clip.mp4"),
            prompts=str(ASSETS / "demo_prompts.json"),
            output=output,
            overwrite=True,
            **options,
        )
    )
    result = score(folder / "masks")
    write_file(folder / "scores.json", (json.dumps(result, indent=2) + "\n").encode())
    print("\nScores on this generated clip (DAVIS 2017 rule, first and last frame dropped):")
    print(table(result))
    print(f"\nJ&F {result['J&F']:.3f}   {time.perf_counter() - start:.0f} s   {folder}/")
    return result


def main(_) -> None:
    try:
        run(_OUTPUT.value)
    except (tracking.TrackStopped, ValueError, OSError) as error:
        sys.exit(f"demo: {error}")


if __name__ == "__main__":
    app.run(main)
