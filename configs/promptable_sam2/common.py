"""What the fine-tuning configs of this folder share, and how each of them shrinks to a debug run.

Prompts, loss terms and rates are SAM 2's own for fine-tuning (arXiv:2408.00714; its MOSE recipe);
pictures are smaller, batches too, and masks are compared at half the side of the picture.
"""

from collections.abc import Sequence

from ml_collections import ConfigDict


def finetuning(variant: str = "tiny", image_size: int = 512, batch: int = 4) -> ConfigDict:
    """Clips of 8 frames and 3 objects; `train_data.clip.sets` and `eval.set` are left to name."""
    c = ConfigDict()
    c.system, c.seed, c.dtype = "promptable_sam2", 123, "bfloat16"
    c.is_debug, c.mesh = False, {"data": -1, "fsdp": 1}
    c.model = {"variant": variant, "version": "2.1", "image_size": image_size}
    c.model.drop_path_rate = 0.1
    c.model.binarize_prompted_masks = False  # while training; memory is binarised at inference
    # --config.init.checkpoint=sam2.1_hiera_tiny.pt, or another run's folder as init.run
    c.init = {"checkpoint": "", "run": "", "from_nothing": False}
    c.train_data = {"folder": ""}  # of prepared sets: --data
    c.train_data.clip = {"kind": "clip", "size": image_size, "batch": batch, "sets": ()}
    c.train_data.clip.sampler = {"kind": "consecutive", "frames": 8, "objects": 3}
    c.train_data.clip.weighting = "given"
    c.train_data.clip.augment = {"p_flip": 0.5, "degrees": 25.0, "shear": 20.0}
    c.train_data.clip.threads = 4
    c.stages = ({"steps": 2000, "shares": {"clip": 1.0}},)
    # Half of the objects given by masks, a quarter each by clicks and boxes; up to two frames
    # prompted and up to two corrected by seven clicks.
    c.prompts = {"mask_probability": 0.5, "box_probability": 0.5, "given_answers": False}
    c.prompts.update(conditioning_frames=2, corrected_frames=2, corrections=7)
    c.prompts.update(mask_prompt_limit=float("inf"), mask_prompt_gradient=True)
    c.prompts.update(other_mask_weight=0.0, blank_absent=True, sum_frames=True)
    c.prompts.update(memory_dropout=True, given_masks_full_size=True, remat="full")
    c.loss = {"focal": 20.0, "dice": 1.0, "iou": 1.0, "object_score": 1.0}
    c.loss.arl = {"sigma": 0.0, "form": "calibrated"}  # soft labels: sigma in px at 512, 0 is off
    c.recipe, c.lora, c.micro_batches = "full", {"rank": 8, "alpha": 16.0}, 1
    c.optim = {"name": "adamw", "lr": 5e-6, "final_lr": 5e-7}
    c.optim.update(encoder_lr=3e-6, encoder_final_lr=3e-7, layer_decay=0.9, warmup_steps=0)
    c.optim.update(decays="sam2", weight_decay=0.1, clip_norm=0.1, b2=0.999)
    c.loop = {"ema_decay": 0.999, "log_every": 20, "checkpoint_every": 200, "eval_every": 500}
    c.loop.update(keep_latest=2, keep_best=1, best_metric="J&F")
    c.eval = {"images": 40, "videos": 4, "frames": 32, "objects": 4, "pictures": 6}
    c.eval.update(memory="recent", memory_options="")  # policy that tracks the videos
    return c


def finish(config: ConfigDict, modes: Sequence[str]) -> ConfigDict:
    """The config itself, or with "debug" among `modes` two steps of a tiny model on drawn data."""
    return shrink(config) if "debug" in modes else config


def shrink(c: ConfigDict) -> ConfigDict:
    """Two steps that a CPU takes in a minute; what is trained, and how, stays."""
    c.is_debug, c.dtype, c.init.from_nothing = True, "float32", True
    c.model.update(variant="debug", image_size=64)
    for name, kind in c.train_data.items():
        if name == "folder":
            continue
        kind.update(size=64, batch=1, threads=1)
        kind.sampler.update(objects=2)
        kind.sampler.frames = min(3, kind.sampler.get("frames", 1))
    (first, *_) = c.stages
    c.stages = ({"steps": 2, "shares": first["shares"]},)
    c.prompts.corrections = 1
    if "loss_size" in c.prompts:
        c.prompts.loss_size = 64
    c.loop.update(log_every=1, checkpoint_every=1, eval_every=2)
    c.eval.update(images=2, videos=1, frames=4, pictures=1)
    return c


def split_modes(mode: str, known: Sequence[str]) -> list[str]:
    """`--config FILE:a,b` to its parts; "full" says nothing. ValueError names what is known."""
    modes = [each for each in mode.split(",") if each and each != "full"]
    unknown = [each for each in modes if each not in ("debug", *known)]
    if unknown:
        known_text = ", ".join(("full", "debug", *known))
        raise ValueError(f"config mode {unknown[0]!r}: expected some of {known_text}.")
    return modes


def with_semantic_token(c: ConfigDict, text_bank: str = "") -> ConfigDict:
    """SAM2S's semantic token, fresh beside weights that have none.

    text_bank: a file of experiments.text_bank, or "fallback:CLASSES", rows without language for
    what that command's --classes takes.
    The rate of what is new is SAM2S's as read here: that of the cross-modal parts of ReSurgSAM2.
    """
    c.model.update(semantic_token=True, tsl_bidirectional=False)
    c.init.add_semantic_token = True
    c.text_bank = text_bank
    c.prompts.semantic_weight = 0.1
    c.optim.new_parts_lr = 3e-4
    return c


def with_long_memories(c: ConfigDict, long_frames: int = 2) -> ConfigDict:
    """SAM2S's memory: long-range frames of a clip are kept for long, under an embedding of their
    own, which starts as that of conditioning frames; evaluation keeps diverse frames.

    Set `train_data.clip.sampler` to hybrid clips beside it; they have those frames.
    """
    c.model.long_memory_embedding = True
    c.init.add_long_memory_embedding = True
    c.prompts.update(memory="hybrid", long_frames=long_frames)
    c.optim.new_parts_lr = 3e-4
    c.eval.update(memory="divemem", memory_options="")
    return c
