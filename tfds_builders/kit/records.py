"""The records of prepared data sets: video frames, single images, labels over time.

Path:    archive -> [records] -> array_record shards -> surgjax.data
Axes:    image [H, W, 3] RGB; instances and parts [H, W, 1]; every record is one frame.
Units:   frame_index counts the stored frames of a video from 0; time_s in seconds of the source
         video; boxes_xyxy in pixels, x right, y down, end exclusive.
Errors:  TFDS raises on an example that does not fit.
Differs: one record per frame, not per video, so that a clip of 8 frames decodes 8 frames; no TFDS
         feature that needs TensorFlow is used (ragged sequences, `Video`, images from arrays).

Values of `instances`: 0 background, 1.. one value per object of the video, the type's largest value
(255 or 65535) ignore. A record that is not annotated has an all-zero map and is_annotated False.
"""

import numpy as np
import tensorflow_datasets as tfds

UNKNOWN = -1  # phase, operator or track that the source does not name

_F = tfds.features


def _common(categories, image_format: str | None, id_dtype) -> dict:
    return dict(
        video_id=_F.Text(doc="video, or image for sets of single images"),
        source=_F.Text(doc="data set that the frame comes from"),
        source_frame=_F.Text(doc="file or frame id in the archive"),
        procedure=_F.Text(),
        patient=_F.Text(doc="what may not be divided between splits"),
        image=_F.Image(shape=(None, None, 3), encoding_format=image_format),
        is_annotated=np.bool_,
        instances=_F.Image(shape=(None, None, 1), dtype=id_dtype, encoding_format="png"),
        instance_ids=_F.Sequence(np.int32),
        category=_F.Sequence(_F.ClassLabel(names=list(categories))),
        is_instrument=_F.Sequence(np.bool_),
    )


def image_features(categories, *, image_format=None, id_dtype=np.uint8, extra=None):
    """Single images: a value of `instances` is an object, or a class where only classes exist."""
    return _F.FeaturesDict({**_common(categories, image_format, id_dtype), **(extra or {})})


def video_features(categories, *, image_format=None, id_dtype=np.uint8, extra=None):
    """Frames of videos with masks. `extra` adds features of one set (parts, depth, expressions)."""
    timing = dict(frame_index=np.int32, time_s=np.float32, fps=np.float32)
    return _F.FeaturesDict(
        {**_common(categories, image_format, id_dtype), **timing, **(extra or {})}
    )


def timeline_features(phases, tools, *, image_format=None, extra=None):
    """Labels over time: phase, tools present, boxes with their tracks.

    `phase` is UNKNOWN where unlabelled. `tools` is bool [K]; `has_tools` tells whether the frame
    carries tool labels at all. Boxes: [N, 4]; `track_ids` [N, 3] are the track while visible, while
    in the body, and over the whole operation, UNKNOWN where a set lacks them.
    """
    return _F.FeaturesDict(
        dict(
            video_id=_F.Text(),
            source=_F.Text(),
            source_frame=_F.Text(),
            procedure=_F.Text(),
            patient=_F.Text(),
            frame_index=np.int32,
            time_s=np.float32,
            fps=np.float32,
            image=_F.Image(shape=(None, None, 3), encoding_format=image_format),
            phase=_F.Scalar(np.int32, doc=f"index into {list(phases)}, or {UNKNOWN}"),
            has_tools=np.bool_,
            tools=_F.Tensor(shape=(len(tools),), dtype=np.bool_, doc=", ".join(tools)),
            boxes_xyxy=_F.Tensor(shape=(None, 4), dtype=np.float32),
            box_category=_F.Sequence(_F.ClassLabel(names=list(tools))),
            track_ids=_F.Tensor(shape=(None, 3), dtype=np.int32),
            **(extra or {}),
        )
    )


def parts_feature():
    """[H, W, 1] uint8: 0 none, 1 shaft, 2 wrist, 3 jaws (claspers), 4 other."""
    return _F.Image(shape=(None, None, 1), dtype=np.uint8, encoding_format="png")


def expressions_feature():
    """Sentences about objects: which instance, and the words."""
    return _F.Sequence({"instance_id": np.int32, "text": _F.Text()})


def largest(id_dtype) -> int:
    """The ignore value of an instance map."""
    return int(np.iinfo(id_dtype).max)
