r"""What encoding the next frame early brings: the same video with and without, in turns.

  python -m tests.benchmarks.encode_ahead --model nano --objects 3

Path:    the bundled clip, back and forth -> two propagations -> milliseconds a frame
Units:   milliseconds of the clock for everything between two frames of a user's loop.
Source:  ours.
Differs: turns of ten frames, and who begins changes; ratios are formed within a round. Between two
         frames the loop writes a PNG label map, as `experiments.track` does, in its own thread:
         that is the time in which an accelerator (or an idle core) may encode.
"""

import argparse
import io
import time

import numpy as np
from PIL import Image

from experiments.video_benchmark.frames import grid_boxes, open_frames
from surgjax.inference.video import VideoPredictor

WARM, TURN = 10, 10


class Side:
    """One propagation."""

    def __init__(self, loaded: VideoPredictor, ahead: bool, frames: int, objects: int):
        self.predictor = VideoPredictor(
            loaded.programs.params,
            loaded.config,
            stream=loaded.programs.stream,
            keep_records=False,
            encode_ahead=ahead,
        )
        source = open_frames(None, frames, loaded.config.image_size)
        state = self.predictor.init_state(source, max_objects=objects)
        for k, box in enumerate(grid_boxes(objects, source.height, source.width)):
            self.predictor.add_new_points_or_box(state, 0, k + 1, box=box)
        self._frames = self.predictor.propagate_in_video(state)

    def advance(self) -> float:
        start = time.perf_counter()
        _, ids, logits = next(self._frames)
        labels = np.zeros(logits.shape[-2:], np.uint8)
        for obj_id, one in zip(ids, logits[:, 0], strict=True):
            labels[one > 0] = obj_id
        Image.fromarray(labels).save(io.BytesIO(), "PNG")
        return 1000 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano", help="other than nano: random weights")
    parser.add_argument("--size", type=int, default=None, help="pixels; default: the model's own")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=8)
    flags = parser.parse_args()
    is_random = flags.model != "nano"
    loaded = VideoPredictor.from_checkpoint(flags.model, flags.size, flags.precision, is_random)
    frames = WARM + TURN * flags.rounds
    sides = {ahead: Side(loaded, ahead, frames, flags.objects) for ahead in (False, True)}
    for side in sides.values():
        for _ in range(WARM):
            side.advance()
    ratios, spent = [], {False: [], True: []}
    for number in range(flags.rounds):
        mean = {}
        for ahead in (False, True) if number % 2 else (True, False):
            mean[ahead] = float(np.mean([sides[ahead].advance() for _ in range(TURN)]))
            spent[ahead].append(mean[ahead])
        ratios.append(mean[True] / mean[False])
    print(
        f"{loaded.config.name}, {loaded.config.image_size} px, {flags.precision}, "
        f"{flags.objects} object(s): {np.median(spent[False]):.1f} ms a frame, encoding ahead "
        f"{np.median(spent[True]):.1f} ms; ratio {np.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f} in {flags.rounds} rounds)"
    )


if __name__ == "__main__":
    main()
