"""What both peers share: frames as tensors, timed parts, counted operations, torch's own peak.

Path:    frames, boxes -> [torch_peer] -> transformers_peer, official_peer -> rounds
Axes:    frames float32 [T, 3, S, S], normalised; masks [O, H, W] bool at the size of the video.
Units:   milliseconds; operations (a multiplication with its addition counts as two).
Source:  ours; torch 2.13.
Differs: peers hold the whole video as one tensor, as their own loaders make it, but the frames are
         resized as our predictor does it, so that both sides see the same pixels at the same cost.
         The time of reading and resizing a frame counts in that frame's total. Parts are timed by
         wrapped calls inside the step: their sum is within it. On a GPU they are not timed, since
         waiting for each would slow the step down; the step ends when the GPU is done.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from experiments.video_benchmark.roofline import ACCELERATOR_SIZES, SIZES, best_rate
from experiments.video_benchmark.timing import Frame


def torch_has_cuda() -> bool:
    """Whether torch computes on an NVIDIA GPU here."""
    import torch

    return torch.cuda.is_available()


def load_frames(source: Any, side: int, resize: Callable) -> tuple[Any, list[float]]:
    """All frames of a source as one tensor, and the milliseconds that each took."""
    import torch

    frames, spent = torch.empty((len(source), 3, side, side)), []
    for t in range(len(source)):
        start = time.perf_counter()
        resized = np.ascontiguousarray(resize(source[t], side).transpose(2, 0, 1))
        frames[t] = torch.from_numpy(resized)
        spent.append(1000 * (time.perf_counter() - start))
    return frames, spent


class TorchPeer:
    """A torch predictor on its way through the video. Subclasses prepare it and read its masks."""

    name = "torch"

    def __init__(self, threads: int, autocast: str | None, where: str = "cpu"):
        import torch

        torch.set_num_threads(threads)
        self.autocast, self.where = autocast, where
        self.spent: dict[str, float] = {}
        self.load_ms: list[float] = []
        self._outputs: Iterator[Any] = iter(())
        self._next = 0

    def begin(
        self, frames: Any, load_ms: list[float], size: tuple[int, int], boxes: list[list[float]]
    ) -> None:
        """Opens the video and prompts every object by its box on frame 0."""
        self.load_ms = load_ms
        with self._context():
            self._outputs = self.start(frames, size, boxes)

    def start(self, frames: Any, size: tuple[int, int], boxes: list[list[float]]) -> Iterator[Any]:
        """The predictor's own iterator over frames, from frame 0."""
        raise NotImplementedError

    def masks_of(self, output: Any) -> np.ndarray:
        """[O, H, W] bool at the size of the video."""
        raise NotImplementedError

    @contextlib.contextmanager
    def _context(self) -> Iterator[None]:
        import torch

        cast = torch.autocast(self.where, torch.bfloat16, enabled=self.autocast == "bf16")
        with torch.inference_mode(), cast:
            yield

    def advance(self) -> Frame:
        """The next frame, as the predictor yields it."""
        self.spent = {}
        start = time.perf_counter()
        with self._context():
            output = next(self._outputs)
            self.wait()
            tracked = time.perf_counter()
            masks = self.masks_of(output)
        end = time.perf_counter()
        within = self.spent.pop("video_masks", 0.0)  # enlarged masks are no part of the model
        total = self.load_ms[self._next] + 1000 * (end - start)
        self._next += 1
        return Frame(1000 * (tracked - start) - within, total, masks)

    def wait(self) -> None:
        """Until the GPU has done what it was given."""
        if self.where == "cuda":
            import torch

            torch.cuda.synchronize()

    def compile(self, owner: Any, *names: str) -> None:
        """torch.compile for parts of a model, each on its own as the original has it."""
        import torch

        for name in names:
            part = getattr(owner, name)
            part.forward = torch.compile(part.forward)

    def part_times(self) -> dict[str, float]:
        """Of the frame tracked last, summed over the objects."""
        return dict(self.spent)

    def time_calls(self, owner: Any, method: str, part: str) -> None:
        """Adds what each call of a method takes to a part."""
        if self.where != "cpu":
            return
        plain = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return plain(*args, **kwargs)
            finally:
                more = 1000 * (time.perf_counter() - start)
                self.spent[part] = self.spent.get(part, 0.0) + more

        setattr(owner, method, timed)

    def advance_counted(self) -> tuple[Frame, float]:
        """The next frame with its operations: products, convolutions and fused attention."""
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False, custom_mapping=_fused_attention()) as counter:
            frame = self.advance()
        return frame, float(counter.get_total_flops())

    def matmul_peak(self) -> float:
        """The best rate of torch's own matrix product, in bf16 under autocast."""
        import torch

        dtype = torch.bfloat16 if self.autocast == "bf16" else torch.float32
        rates = []
        with torch.inference_mode():
            for size in SIZES if self.where == "cpu" else ACCELERATOR_SIZES:
                x = torch.randn(size, size, device=self.where).to(dtype)

                def product(x: Any = x) -> None:
                    torch.mm(x, x)
                    self.wait()

                rates.append(best_rate(product, size))
        return max(rates)


def _fused_attention() -> dict[Any, Callable]:
    """The CPU's fused attention, which torch's counter does not know."""
    import torch

    def count(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> float:
        *lead, queries, width = query
        rows = int(np.prod(lead)) * queries * key[-2]
        return 2 * rows * (width + value[-1])

    return {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: count}
