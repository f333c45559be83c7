"""The four IoUs of instrument type segmentation on EndoVis 2017 and 2018.

Path:    label maps -> [class_areas -> update -> merge] -> compute -> four IoUs, IoU per class
Axes:    classes 1 .. C (7 on EndoVis), frames of all videos alike.
Units:   fractions of 1.
Errors:  ValueError if neither ground truth nor prediction shows any class.
Source:  ISINet's evaluation, as SurgicalSAM carries it (surgicalSAM/utils.py, eval_endovis), for
         frames t with classes G_t in the ground truth and P_t in the prediction:
         isi_iou        mean over t of the mean over c in G_t or P_t: a false class costs a zero
         challenge_iou  mean over t of the mean over c in G_t: a false class is free
         mc_iou         mean over c of the mean over the t with c in G_t or P_t
         pooled_iou     sum of intersections over sum of unions, all frames and classes
         A frame without any class is in no mean; one with an empty prediction counts as zero for
         its classes, but its area is left out of the pooled union, as the reference does.
Differs: a measure without a single frame is NaN; the reference warns and prints NaN too.
"""

import math
from typing import Any

from surgjax.metrics.label_maps import (
    FrameAreas,
    State,
    by_video,
    class_areas,
    init_state,
    merge,
    update,
)
from surgjax.metrics.means import mean

__all__ = ["class_areas", "compute", "init_state", "merge", "update"]

NUM_CLASSES = 7
CLASSES_2017 = (
    "Bipolar Forceps",
    "Prograsp Forceps",
    "Large Needle Driver",
    "Vessel Sealer",
    "Grasping Retractor",
    "Monopolar Curved Scissors",
    "Other",
)
CLASSES_2018 = (
    "Bipolar Forceps",
    "Prograsp Forceps",
    "Large Needle Driver",
    "Monopolar Curved Scissors",
    "Ultrasound Probe",
    "Suction Instrument",
    "Clip Applier",
)


def _four(frames: list[FrameAreas]) -> tuple[dict[str, float], dict[int, float]]:
    """The four measures, and the mean IoU of each class."""
    isi, challenge, by_class = [], [], {}
    shared = union = 0
    for areas in frames:
        ious = {label: area.shared / area.union for label, area in areas.items()}
        if not ious:
            continue
        isi.append(mean(ious.values()))
        if wanted := [iou for label, iou in ious.items() if areas[label].target]:
            challenge.append(mean(wanted))
        for label, iou in ious.items():
            by_class.setdefault(label, []).append(iou)
        if any(area.predicted for area in areas.values()):
            shared += sum(area.shared for area in areas.values())
            union += sum(area.union for area in areas.values())
    class_ious = {label: mean(values) for label, values in sorted(by_class.items())}
    return {
        "challenge_iou": mean(challenge),
        "isi_iou": mean(isi),
        "mc_iou": mean(class_ious.values()),
        "pooled_iou": shared / union if union else (0.0 if isi else math.nan),
    }, class_ious


def compute(state: State) -> dict[str, Any]:
    """The four IoUs of all frames, `per_class` and `per_sequence`."""
    if not any(state.values()):
        raise ValueError("endovis_type: no frame shows a class, in ground truth or prediction.")
    frames = [areas for _, areas in sorted(state.items())]
    measures, class_ious = _four(frames)
    per_sequence = []
    for video, part in by_video(state).items():
        per_sequence.append({"sequence": video} | _four(list(part.values()))[0])
    return {
        **measures,
        "per_class": [{"class": label, "iou": iou} for label, iou in class_ious.items()],
        "per_sequence": per_sequence,
    }
