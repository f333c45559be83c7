"""Small prepared data sets as the builders leave them, made from generated clips."""

import dataclasses
import os

import cv2
import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module

from surgjax.data import index as set_index
from surgjax.data.index import ObjectEntry, SetIndex, VideoEntry
from surgjax.synthetic import generate_clip
from tfds_builders.kit import records

CATEGORIES = ("shaft", "tissue")
_HAS_FILTERS = hasattr(cv2, "IMWRITE_PNG_FILTER")  # not in every OpenCV 4


@dataclasses.dataclass
class Video:
    """Frames [T, H, W, 3] and labels [T, H, W] of one video to be written."""

    video_id: str
    frames_u8: np.ndarray
    label_maps: np.ndarray
    annotated: tuple[int, ...] | None = None  # frame positions; None: all
    names: dict[int, str] = dataclasses.field(default_factory=dict)

    def annotated_positions(self) -> list[int]:
        return list(range(len(self.frames_u8)) if self.annotated is None else self.annotated)


def synthetic_video(seed: int, frames: int, size: int = 64, **changes) -> Video:
    clip = generate_clip(seed, frames, size)
    return Video(f"v{seed:03d}", clip.frames_u8, clip.label_maps, **changes)


def moving_square(video_id: str, frames: int, height: int = 48, width: int = 64) -> Video:
    """Frame t: red level 3t, green square of value 1 whose left edge is at 2t; blue noise."""
    rng = np.random.default_rng(frames)
    images = np.zeros((frames, height, width, 3), np.uint8)
    labels = np.zeros((frames, height, width), np.uint8)
    images[..., 2] = rng.integers(0, 256, images.shape[:3], np.uint8)
    for t in range(frames):
        left = (2 * t) % (width - 12)
        images[t, ..., 0] = 3 * t
        images[t, 10:22, left : left + 12, 1] = 255
        labels[t, 10:22, left : left + 12] = 1
    return Video(video_id, images, labels)


def _png(array: np.ndarray) -> bytes:
    """Without row filters, which do nothing for label maps and cost four fifths of the decoding."""
    flags = [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE] if _HAS_FILTERS else []
    return cv2.imencode(".png", array, flags)[1].tobytes()


def encode_image(frame_u8: np.ndarray, image_format: str, quality: int = 95) -> bytes:
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality] if image_format == "jpeg" else []
    bgr = np.ascontiguousarray(frame_u8[..., ::-1])
    return cv2.imencode("." + image_format, bgr, flags)[1].tobytes()


def _example(video: Video, t: int, image_format: str, id_dtype) -> dict:
    labels = video.label_maps[t].astype(id_dtype)
    is_annotated = t in video.annotated_positions()
    ids = [int(i) for i in np.unique(labels) if 0 < i < records.largest(id_dtype)]
    return dict(
        video_id=video.video_id,
        source="synthetic",
        source_frame=f"{video.video_id}/{t}",
        procedure="none",
        patient=video.video_id,
        image=encode_image(video.frames_u8[t], image_format),
        is_annotated=is_annotated,
        instances=_png(labels if is_annotated else np.zeros_like(labels)),
        instance_ids=ids if is_annotated else [],
        category=[0] * len(ids) if is_annotated else [],
        is_instrument=[True] * len(ids) if is_annotated else [],
        frame_index=t,
        time_s=t / 5,
        fps=5.0,
    )


def entry_of(video: Video, first: int, id_dtype=np.uint8) -> VideoEntry:
    annotated = video.annotated_positions()
    values = np.unique(video.label_maps[annotated]) if annotated else []
    ids = [int(i) for i in values if 0 < i < records.largest(id_dtype)]
    objects = tuple(
        ObjectEntry(
            i,
            video.names.get(i, CATEGORIES[0]),
            True,
            set_index.runs_of(t for t in annotated if (video.label_maps[t] == i).any()),
        )
        for i in ids
    )
    frames, height, width = video.label_maps.shape
    return VideoEntry(
        video_id=video.video_id,
        first=first,
        length=frames,
        height=height,
        width=width,
        fps=5.0 if frames > 1 else 0.0,
        procedure="none",
        source="synthetic",
        patient=video.video_id,
        annotated=set_index.runs_of(annotated),
        objects=objects,
    )


def write_set(
    data_dir: str,
    name: str,
    splits: dict[str, list[Video]],
    *,
    image_format: str = "png",
    id_dtype=np.uint8,
    named: dict[str, tuple[str, ...]] | None = None,
    version: str = "1.0.0",
) -> str:
    """Writes DATA_DIR/NAME/VERSION, one shard per video, and returns that folder."""
    folder = os.path.join(data_dir, name, version)
    os.makedirs(folder)
    features = records.video_features(CATEGORIES, image_format=image_format, id_dtype=id_dtype)
    template = tfds.core.ShardedFileTemplate(
        data_dir=folder, dataset_name=name, filetype_suffix="array_record"
    )
    infos, entries = [], {}
    for split, videos in splits.items():
        first, entries[split], size = 0, [], 0
        for number, video in enumerate(videos):
            shard = f"{name}-{split}.array_record-{number:05d}-of-{len(videos):05d}"
            path = os.path.join(folder, shard)
            writer = array_record_module.ArrayRecordWriter(path, "group_size:1")
            for t in range(len(video.frames_u8)):
                example = features.encode_example(_example(video, t, image_format, id_dtype))
                writer.write(features.serialize_example(example))
            writer.close()
            size += os.path.getsize(path)
            entries[split].append(entry_of(video, first, id_dtype))
            first += len(video.frames_u8)
        infos.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[len(video.frames_u8) for video in videos],
                num_bytes=size,
                filename_template=template.replace(split=split),
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features,
        split_infos=infos,
        filename_template=template,
        check_data=False,  # its check needs TensorFlow
    )
    index = SetIndex(name, {k: tuple(v) for k, v in entries.items()}, named or {})
    with open(os.path.join(folder, set_index.FILE_NAME), "w", encoding="utf-8") as stream:
        stream.write(set_index.to_json(index))
    return folder
