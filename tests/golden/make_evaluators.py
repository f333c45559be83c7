r"""Writes the goldens of published evaluators, from checkouts of them.

  python -m tests.golden.make_evaluators --davis=CHECKOUT --sav=CHECKOUT --resurg=CHECKOUT \
    --surgicalsam=CHECKOUT

Path:    evaluator_cases -> [make_evaluators] -> evaluators.npz -> test_evaluators
Axes:    see evaluator_cases.
Units:   fractions of 1 (the references' percentages are divided by 100).
Errors:  ImportError without scikit-image, which the references need and surgjax does not.
Source:  davis2017-evaluation; sam2/sav_dataset/utils/sav_benchmark.py; ReSurgSAM2's
         my_sav_benchmark.py; SurgicalSAM's utils.py (ISINet's IoUs); for SASVi the functions that
         its eval_vid_T.py calls: scikit-image's find_contours, torch's cdist and interpolate.
Differs: nothing of the references is kept here but their results.
"""

import argparse
import contextlib
import importlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import skimage
import torch
from PIL import Image

from tests.golden import evaluator_cases as cases

FILE = Path(__file__).with_name("evaluators.npz")


def _load(folder, module):
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(module)
    finally:
        sys.path.pop(0)


def write_folders(root, sequences, per_object=()):
    """pred/SEQ/%05d.png and gt/SEQ/%05d.png; the sides named in per_object as SEQ/ID/%05d.png."""
    for name, both in sequences.items():
        for side, label_maps in zip(("pred", "gt"), both, strict=True):
            for t, label_map in enumerate(label_maps):
                maps = {"": label_map}
                if side in per_object:
                    ids = np.unique(both[1])
                    maps = {f"{i:03d}": (label_map == i) * i for i in ids[ids > 0]}
                for part, values in maps.items():
                    folder = Path(root) / side / name / part
                    folder.mkdir(parents=True, exist_ok=True)
                    image = Image.fromarray(values.astype(np.uint8))
                    image.putpalette([(37 * k) % 256 for k in range(768)])
                    image.save(folder / f"{t:05d}.png")


def davis_masks(checkout):
    """J and F of every pair."""
    metrics = _load(checkout, "davis2017.metrics")
    rows = []
    for mask, target, ignored in cases.mask_pairs():
        j = metrics.db_eval_iou(target, mask, ignored)
        rows.append((j, metrics.db_eval_boundary(target, mask, ignored)))
    return np.array(rows, float)


def davis_folders(checkout, kind):
    """M, R, D of J and F for every object, through the whole evaluation."""
    evaluation = _load(checkout, "davis2017.evaluation")
    with tempfile.TemporaryDirectory() as root:
        write_folders(root, cases.sequences(kind))
        root = Path(root)
        (root / "Annotations").mkdir()
        (root / "gt").rename(root / "Annotations" / "480p")
        (root / "ImageSets" / "2017").mkdir(parents=True)
        names = sorted(cases.sequences(kind))
        (root / "ImageSets" / "2017" / "val.txt").write_text("\n".join(names))
        with contextlib.redirect_stderr(io.StringIO()):
            tool = evaluation.DAVISEvaluation(
                str(root), task="semi-supervised", gt_set="val", codalab=True
            )
            result = tool.evaluate(str(root / "pred"))
    return {
        name: [float(result[m][s][k]) for m in "JF" for s in "MRD"]
        for k, name in enumerate(result["J"]["M_per_object"])
    }


def benchmark(checkout, module, kind, per_object=(), **options):
    """Per sequence and object: J, F (and Dice where the fork has it)."""
    tool = _load(Path(checkout) / "sav_dataset" / "utils", module)
    with tempfile.TemporaryDirectory() as root:
        write_folders(root, cases.sequences(kind), per_object)
        evaluator = tool.VideoEvaluator(f"{root}/gt", f"{root}/pred", **options)
        result = {}
        for name in sorted(cases.sequences(kind)):
            video = name if module == "sav_benchmark" else (name, range(1, 256))
            _, *scores = evaluator(video)
            for i in scores[0]:
                result[f"{name}/{int(i)}"] = [float(score[i]) / 100 for score in scores]
    return result


def endovis(checkout):
    """The four IoUs in per cent, rounded to three digits as the reference does."""
    tool = _load(Path(checkout) / "surgicalSAM", "utils")
    predictions, targets = {}, {}
    for name, (prediction, target) in cases.sequences("classes").items():
        for t in range(len(target)):
            predictions[f"{name}/{t}"] = prediction[t].astype(int)
            targets[f"{name}/{t}"] = torch.from_numpy(target[t])
    result = tool.eval_endovis(predictions, targets)
    return {name: float(result[name]) for name in ("challengIoU", "IoU", "mcIoU", "mIoU")}


def temporal_pairs():
    """Contour distance of mask pairs (NaN: none), and checksums of resized label maps."""
    distances = []
    for k, (mask, target, _) in enumerate(cases.mask_pairs()):
        if k % 4 or mask.size > 3000:
            continue
        lines = [skimage.measure.find_contours(m.astype(np.uint8), level=0.5)
                 for m in (mask, target)]  # fmt: skip
        if not all(lines):
            distances.append(np.nan)
            continue
        points = [torch.from_numpy(np.vstack(line)) for line in lines]
        apart = torch.cdist(*points, compute_mode="donot_use_mm_for_euclid_dist")
        near = [apart.min(dim=d)[0].mean().item() for d in (0, 1)]
        distances.append(sum(near) / 2)
    sums = []
    for height, width in ((480, 854), (1024, 1280), (61, 47), (299, 299), (300, 301)):
        label_map = np.arange(height * width).reshape(height, width) * 7 % 251
        small = torch.nn.functional.interpolate(
            torch.from_numpy(label_map)[None, None].float(), size=(299, 299), mode="nearest"
        )[0, 0].numpy()
        sums.append(int((small * (np.arange(299 * 299).reshape(299, 299) % 97)).sum()))
    return np.array(distances), np.array(sums)


def _commit(folder):
    done = subprocess.run(
        ["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True
    )
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("davis", "sav", "resurg", "surgicalsam"):
        parser.add_argument(f"--{name}", required=True, help="checkout of the reference")
        parser.add_argument(f"--{name}_commit", default="", help="if the checkout has no .git")
    args = parser.parse_args()
    made_by = {"skimage": skimage.__version__, "torch": torch.__version__, "numpy": np.__version__}
    for name in ("davis", "sav", "resurg", "surgicalsam"):
        made_by[name] = getattr(args, f"{name}_commit") or _commit(getattr(args, name))
    distances, sums = temporal_pairs()
    results = {
        "davis": davis_folders(args.davis, "davis"),
        "davis_gaps": davis_folders(args.davis, "gaps"),
        "sav": benchmark(args.sav, "sav_benchmark", "davis", ("gt", "pred")),
        "sav_label_maps": benchmark_label_maps(args.sav),
        "resurg": benchmark(args.resurg, "my_sav_benchmark", "late", ("pred",)),
        "endovis": endovis(args.surgicalsam),
    }
    np.savez_compressed(
        FILE,
        made_by=json.dumps(made_by),
        masks=davis_masks(args.davis),
        results=json.dumps(results),
        contour_distances=distances,
        resize_sums=sums,
    )
    print(f"{FILE.name}: {FILE.stat().st_size / 1e3:.0f} kB, {made_by}")


def benchmark_label_maps(checkout):
    """SA-V's benchmark on folders of label maps with late objects."""
    tool = _load(Path(checkout) / "sav_dataset" / "utils", "sav_benchmark")
    with tempfile.TemporaryDirectory() as root:
        write_folders(root, cases.sequences("late"))
        evaluator = tool.VideoEvaluator(f"{root}/gt", f"{root}/pred")
        result = {}
        for name in sorted(cases.sequences("late")):
            _, regions, contours = evaluator(name)
            for i in regions:
                result[f"{name}/{int(i)}"] = [float(regions[i]) / 100, float(contours[i]) / 100]
    return result


if __name__ == "__main__":
    main()
