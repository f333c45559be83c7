"""A mask decoder that learns from scratch within minutes: tied attention, then random shapes.

Path:    init_params -> [warm_start: tie_attention, localise_memory] -> state
         shards -> [warm_start: shape_batches] -> loop
Axes:    as SceneBatch; one image, many shapes.
Units:   shapes are ellipses and turned bars, sizes as a share of the image side.
Differs: SAM 2 starts from pretrained weights; this replaces them for a model trained from nothing.
         Trained on scenes at once, prompts do not influence the masks for hundreds of steps, and
         the answer stays empty. Three cheap changes end that. (1) Queries and keys of the decoder's
         attention start out equal and a little larger, so that the Fourier features of a click or a
         corner attend to their own place from the first step. (2) A few hundred steps on shapes
         that have nothing to do with the picture teach what a box and a click mean. (3) Memory
         attention starts by reading its own place: equal biases of queries and keys in the rotary
         channels of high frequency make a score that falls with the distance on the grid.
"""

import itertools
from collections.abc import Iterator

import cv2
import numpy as np

from surgjax.train.batch_sources import SourcedBatch
from surgjax.train.scene_batches import BatchOptions, ShardFolder
from surgjax.train.steps.promptable import SceneBatch

_QUERY_GAIN = 2.0
_LOCAL_BIAS = 1.5
_LOCAL_PERIODS = 1 / 4  # share of an axis's rotary frequencies, the fastest ones
_VALUE_GAIN = 3.0**0.5  # makes the values' variance that of the input


def tie_attention(params: dict) -> dict:
    """A copy of `params` whose mask decoder starts with equal queries and keys."""
    decoder = dict(params["sam_mask_decoder"])
    transformer = dict(decoder["transformer"])

    def tied(attention: dict) -> dict:
        query = np.asarray(attention["q_proj"]["kernel"]) * _QUERY_GAIN
        changed = {"q_proj": query, "k_proj": query.copy()}
        for name in ("v_proj", "out_proj"):
            changed[name] = np.asarray(attention[name]["kernel"]) * _VALUE_GAIN
        return {k: {**v, "kernel": changed[k]} for k, v in attention.items()}

    for layer in [name for name in transformer if name.startswith("layers_")]:
        transformer[layer] = {
            name: tied(block) if "attn" in name else block
            for name, block in transformer[layer].items()
        }
    final = "final_attn_token_to_image"
    transformer[final] = tied(transformer[final])
    decoder["transformer"] = transformer
    return {**params, "sam_mask_decoder": decoder}


def localise_memory(params: dict) -> dict:
    """A copy of `params` whose memory attention starts with the place it looks from."""
    memory = dict(params["memory_attention"])
    for name in [name for name in memory if name.startswith("layers_")]:
        cross = dict(memory[name]["cross_attn_image"])
        width = cross["q_proj"]["bias"].shape[0]
        bias = np.zeros((2, width // 4, 2), np.float32)  # axis, rotary pair, its two channels
        bias[:, : round(width // 4 * _LOCAL_PERIODS)] = _LOCAL_BIAS
        for projection in ("q_proj", "k_proj"):
            cross[projection] = {**cross[projection], "bias": bias.reshape(width)}
        for projection in ("v_proj", "out_proj"):
            kernel = np.asarray(cross[projection]["kernel"]) * _VALUE_GAIN
            cross[projection] = {**cross[projection], "kernel": kernel}
        memory[name] = {**memory[name], "cross_attn_image": cross}
    return {**params, "memory_attention": memory}


def draw_shapes(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """`count` masks [count, size, size]: ellipses, and turned bars as instruments are."""
    masks = np.zeros((count, size, size), np.uint8)
    for mask in masks:
        centre = tuple(int(v) for v in rng.uniform(0.1, 0.9, 2) * size)
        angle = float(rng.uniform(0, 180))
        if rng.random() < 0.5:
            axes = tuple(int(v) for v in rng.uniform(0.06, 0.3, 2) * size)
            cv2.ellipse(mask, centre, axes, angle, 0, 360, 1, -1)
        else:
            sides = (float(rng.uniform(0.2, 0.9) * size), float(rng.uniform(0.07, 0.25) * size))
            corners = cv2.boxPoints((centre, sides, angle)).astype(np.int32)
            cv2.fillPoly(mask, [corners], 1)
    return masks.astype(bool)


def shape_batches(
    shards: ShardFolder,
    options: BatchOptions,
    seed: int,
    start: int = 0,
    rows: range | None = None,
) -> Iterator[SourcedBatch]:
    """Endless batches of scenes with `options.objects` random shapes each, from number `start` on.

    rows: of every batch; all by default. A row is a function of seed, number and its place; its
    sources are the seeds of its scenes.
    """
    side = (options.size, options.size)
    for number in itertools.count(start):
        frames, masks, sources = [], [], []
        for row in range(options.batch) if rows is None else rows:
            rng = np.random.default_rng((seed, number, row))
            drawn: list[int] = []
            frames.append(cv2.resize(shards.draw(rng, drawn)[0][0], side))
            masks.append(draw_shapes(rng, options.objects, options.size))
            sources.append({"scenes": drawn, "batch": number, "row": row})
        batch = SceneBatch(
            frames=np.stack(frames)[:, None],
            masks=np.stack(masks)[:, None],
            valid=np.ones((len(frames), options.objects), bool),
            frame_index=np.zeros((len(frames), 1), np.int32),
        )
        yield SourcedBatch(batch, tuple(sources))
