r"""Memory, latency and compilations over a stream of hours, with objects that come and go.

  python -m tests.benchmarks.long_stream --frames 100000

Path:    endless generated scenes -> live VideoPredictor -> a line for every window of frames
Axes:    frames uint8 [S, S, 3].
Units:   milliseconds of the clock; MiB resident; frames count from 0.
Source:  ours.
Differs: scene follows scene with another seed, since the motion of one scene is drawn beforehand
         and would grow with its length. An object is prompted with its box, from the truth, when it
         comes into sight and a slot is free, and removed once it has been out of sight for a while,
         all between two frames of one propagation. Latency is what a camera would wait for: prompts
         and tracking, without drawing the scene. Two counters of compilations: the tracker's own
         programs, and everything that JAX compiles in this process. Weights `debug` are random and
         mean nothing; they show the same shapes in a tenth of the time.
"""

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from surgjax.inference.video import VideoPredictor
from surgjax.synthetic.config import SceneConfig
from surgjax.synthetic.stream import Frame, stream_clip
from surgjax.testing import debug_config, lively_params

_AREA = 0.004  # of a frame, that an object must cover to be prompted
_ABSENT = 20  # frames out of sight after which it is removed
_SCENE = SceneConfig(operation=True)


class Compilations:
    """Counts what JAX compiles in this process, from its making on."""

    def __init__(self):
        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self._take)

    def _take(self, event: str, duration: float, **_: Any) -> None:
        self.count += event == "/jax/core/compile/backend_compile_duration"


class Feed:
    """An endless stream; the truth of the frame that comes next is known, as to a user who points
    at what is in sight."""

    def __init__(self, seed: int, size: int, scene_frames: int):
        self._frames = self._draw(seed, size, scene_frames)
        self.scene, self.next = next(self._frames)

    @staticmethod
    def _draw(seed: int, size: int, scene_frames: int) -> Iterator[tuple[int, Frame]]:
        scene = 0
        while True:
            for frame in stream_clip(seed + scene, scene_frames, size, _SCENE):
                yield scene, frame
            scene += 1

    def __iter__(self) -> Iterator[np.ndarray]:
        """Gives the frame that is due again and again, until `advance` draws another."""
        while True:
            yield self.next.picture.frame_u8

    def advance(self) -> None:
        """Draws the next frame."""
        self.scene, self.next = next(self._frames)

    def in_sight(self) -> dict[int, tuple[float, list[float]]]:
        """Area (share of the frame) and box, by the object's id in its scene."""
        labels = self.next.picture.label_map
        areas = np.bincount(labels.ravel(), minlength=len(self.next.boxes_xyxy) + 1)[1:]
        return {
            k + 1: (area / labels.size, box.tolist())
            for k, (area, box) in enumerate(zip(areas, self.next.boxes_xyxy, strict=True))
            if area
        }


@dataclasses.dataclass
class Followed:
    """An object that is tracked, and when it was in sight last."""

    scene: int
    number: int
    last: int


class Cast:
    """Who is tracked: decides before every frame what is prompted and what is removed."""

    def __init__(self, predictor: VideoPredictor, state: Any, slots: int):
        self.predictor, self.state, self.slots = predictor, state, slots
        self.followed: dict[int, Followed] = {}
        self.added = self.removed = 0

    def update(self, feed: Feed, t: int) -> None:
        """Prompts who has come into sight, removes who has gone; one at least stays."""
        seen = feed.in_sight()
        for one in self.followed.values():
            if one.scene == feed.scene and one.number in seen:
                one.last = t
        known = {(one.scene, one.number) for one in self.followed.values()}
        new = [
            (area, number, box)
            for number, (area, box) in seen.items()
            if area >= _AREA and (feed.scene, number) not in known
        ]
        gone = [
            obj_id
            for obj_id, one in self.followed.items()
            if one.scene != feed.scene or t - one.last > _ABSENT
        ]
        for _, number, box in sorted(new, reverse=True):
            if len(self.followed) == self.slots:
                if not gone:
                    break
                self._remove(gone.pop())
            self._add(feed.scene, number, box, t)
        for obj_id in gone:
            if len(self.followed) > 1:
                self._remove(obj_id)

    def _add(self, scene: int, number: int, box: list[float], t: int) -> None:
        obj_id = min(set(range(1, self.slots + 1)) - set(self.followed))
        x0, y0, x1, y1 = box
        inside = [x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)]
        self.predictor.add_new_points_or_box(self.state, t, obj_id, box=inside)
        self.followed[obj_id] = Followed(scene, number, t)
        self.added += 1

    def _remove(self, obj_id: int) -> None:
        self.predictor.remove_object(self.state, obj_id, need_output=False)
        del self.followed[obj_id]
        self.removed += 1


def resident_mib() -> float:
    """Memory of this process that lies in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def bank_bytes(state: Any) -> int:
    """Of all object slots."""
    leaves = jax.tree.leaves(state.live_tracks.track.bank)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def make_predictor(weights: str) -> VideoPredictor:
    """The bundled nano, or the smallest model there is with random weights."""
    if weights == "debug":
        config = debug_config()
        return VideoPredictor(lively_params(config), config)
    return VideoPredictor.from_checkpoint(weights)


def measure(
    predictor: VideoPredictor,
    frames: int,
    window: int,
    slots: int = 4,
    size: int = 256,
    scene_frames: int = 300,
    seed: int = 20_000_000,
    say: Any = print,
) -> dict[str, Any]:
    """Tracks so many frames; a row for each window, and the last window over the first."""
    compilations, feed = Compilations(), Feed(seed, size, scene_frames)
    while not any(area >= _AREA for area, _ in feed.in_sight().values()):
        feed.advance()  # there must be something to begin with
    state = predictor.init_state(iter(feed), max_objects=slots)
    cast, rows, ms = Cast(predictor, state, slots), [], []
    propagation, begun = None, time.perf_counter()
    for t in range(frames):
        start = time.perf_counter()
        cast.update(feed, t)
        if propagation is None:
            propagation = predictor.propagate_in_video(state)
        found, ids, masks = next(propagation)
        ms.append(1000 * (time.perf_counter() - start))
        assert found == t and len(ids) == len(cast.followed) == len(masks)
        feed.advance()
        if len(ms) == window or t == frames - 1:
            p50, p95 = np.percentile(ms, (50, 95))
            row = {
                "frames": t + 1,
                "p50_ms": float(p50),
                "p95_ms": float(p95),
                "rss_mib": resident_mib(),
                "bank_bytes": bank_bytes(state),
                "programs": len(predictor.programs.compiled),
                "compilations": compilations.count,
                "added": cast.added,
                "removed": cast.removed,
                "scenes": feed.scene + 1,
            }
            rows.append(row)
            ms = []
            spent = time.perf_counter() - begun
            left = spent / (t + 1) * (frames - t - 1)
            say(line(row) + f"  {left / 60:6.1f} min left")
    state.close()
    first, last = rows[min(1, len(rows) - 1)], rows[-1]  # the first window holds compiling
    ratio = {key: last[key] / first[key] for key in ("p50_ms", "p95_ms", "rss_mib", "bank_bytes")}
    more = {key: last[key] - first[key] for key in ("programs", "compilations")}
    return {"rows": rows, "ratio": ratio, "new": more}


HEAD = (
    "   frames   p50 ms   p95 ms   RSS MiB  bank MiB  programs  compiled   added  removed  scenes"
)


def line(row: dict[str, Any]) -> str:
    """One window as text, under HEAD."""
    return (
        f"{row['frames']:9d} {row['p50_ms']:8.2f} {row['p95_ms']:8.2f} {row['rss_mib']:9.1f} "
        f"{row['bank_bytes'] / 2**20:9.2f} {row['programs']:9d} {row['compilations']:9d} "
        f"{row['added']:7d} {row['removed']:8d} {row['scenes']:7d}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=5000)
    parser.add_argument("--window", type=int, default=1000, help="frames of one line")
    parser.add_argument("--weights", default="nano", help="nano, debug, or a checkpoint")
    parser.add_argument("--objects", type=int, default=4, help="slots: at most so many at once")
    parser.add_argument("--size", type=int, default=256, help="pixels of the frames, 32 or more")
    parser.add_argument("--scene_frames", type=int, default=300, help="until the next scene")
    parser.add_argument("--seed", type=int, default=20_000_000)
    parser.add_argument("--json", default="", help="also write the figures to this file")
    flags = parser.parse_args()
    if min(flags.frames, flags.window, flags.objects, flags.scene_frames) < 1:
        parser.error("--frames, --window, --objects, --scene_frames: 1 or more expected.")
    predictor = make_predictor(flags.weights)
    device = jax.devices()[0].device_kind
    side = predictor.config.image_size
    print(f"{predictor.config.name}, {side} px, at most {flags.objects} objects, {device}")
    print(HEAD)
    found = measure(
        predictor,
        flags.frames,
        flags.window,
        flags.objects,
        flags.size,
        flags.scene_frames,
        flags.seed,
        lambda text: print(text, flush=True),
    )
    ratio, new = found["ratio"], found["new"]
    print(
        f"last window over the second: p50 {ratio['p50_ms']:.3f}, p95 {ratio['p95_ms']:.3f}, RSS "
        f"{ratio['rss_mib']:.3f}, bank {ratio['bank_bytes']:.3f}; new programs {new['programs']}, "
        f"new compilations {new['compilations']}"
    )
    if flags.json:
        with open(flags.json, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
