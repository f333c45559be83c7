"""The whole loss of training clips in torch: transformers' modules, the loop written out here.

Path:    Sam2VideoModel of tests.golden.make + tests.golden.clip_loss_case -> [clip_loss] -> loss
Axes:    torch layout (B, C, H, W); one row (object of a clip) at a time.
Units:   prompts in pixels of the model's input.
Source:  SAM 2's training as in arXiv:2408.00714 and training/model/sam2.py, training/loss_fns.py;
         transformers 5.23 for the modules.
Differs: objects that are given by masks have no loss on the frames where they are (in the reference
         a constant one); pointer distances are divided by 15 whatever the length of the clip.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from surgjax.data.clips import ClipBatch
from surgjax.prompts.clicks import center_click
from tests.golden import clip_loss_case as case
from tests.golden import make
from tests.parity import reference

NO_OBJECT = -1024.0
SPAN = 16


def candidate_losses(logits: torch.Tensor, target: torch.Tensor, ious: torch.Tensor):
    """Focal, dice and IoU terms [K] of candidates [K, S, S] against one target [S, S]."""
    target = target.expand_as(logits)
    probs = logits.sigmoid()
    plain = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    right = probs * target + (1 - probs) * (1 - target)
    balance = 0.25 * target + 0.75 * (1 - target)
    focal = (balance * plain * (1 - right) ** 2).mean((1, 2))
    overlap = 2 * (probs * target).sum((1, 2))
    dice = 1 - (overlap + 1) / (probs.sum((1, 2)) + target.sum((1, 2)) + 1)
    both, either = ((logits > 0) & (target > 0)), ((logits > 0) | (target > 0))
    true = both.sum((1, 2)) / either.sum((1, 2)).clamp(min=1)
    return focal, dice, (ious - true).abs()


def answer_loss(logits, ious, score, target) -> torch.Tensor:
    """Of one answer: 20 focal + dice of the best candidate, IoU of all, object score."""
    focal, dice, iou = candidate_losses(logits, target, ious)
    best = (20 * focal + dice).argmin()
    present = (target > 0).any().float()
    total = present * (20 * focal[best] + dice[best] + iou.mean())
    return total + F.binary_cross_entropy_with_logits(score, present)


def build() -> Any:
    """The model of the goldens; what is present is the same as in our step."""
    model = make.build()
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.proj_out.bias += case.SCORE_BIAS
    model.mask_decoder.dynamic_multimask_via_stability = False  # as in training
    return model


class Row:
    """One object of one clip: what was remembered of it, and its loss so far."""

    def __init__(self, model: Any, stop_prompt_gradient: bool, forget_first: bool):
        self.model, self.memory = model, []
        self.stop_prompt_gradient, self.forget_first = stop_prompt_gradient, forget_first
        self.loss = torch.zeros(())

    def conditioned(self, maps, position, now: int) -> torch.Tensor:
        """Features that have read every earlier visit."""
        model, read = self.model, self.memory[int(self.forget_first) :]
        flat = maps[2].flatten(2).permute(2, 0, 1)
        times = model.memory_temporal_positional_encoding
        rows = [-1 if kept else min(now - then - 1, 5) for then, kept, *_ in read]
        keys = [memory for _, _, memory, _, _ in read]
        places = [p + times[r] for (_, _, _, p, _), r in zip(read, rows, strict=True)]
        offsets = [now - then for then, *_ in read]
        pointers, pointer_places = model._process_object_pointers(
            offsets, [pointer for *_, pointer in read], SPAN, 1, flat.shape[-1], flat.device
        )
        out = model.memory_attention(
            current_vision_features=flat,
            current_vision_position_embeddings=position,
            memory=torch.cat([*keys, pointers]),
            memory_posision_embeddings=torch.cat([*places, pointer_places]),
            num_object_pointer_tokens=len(pointers),
        )
        return out.squeeze(1).transpose(1, 2).reshape(maps[2].shape)

    def answer(self, maps, s16, points, mask, target, counts: bool):
        """Decodes; points are (xy, label) pairs. Adds the loss of the answer where it counts."""
        seen: dict[str, Any] = {}
        hook = self.model.mask_decoder.register_forward_hook(
            lambda _, __, out: seen.update(masks=out[0], ious=out[1], score=out[3])
        )
        xy = labels = None
        if points:
            xy = torch.tensor([[[list(p) for p, _ in points]]], dtype=torch.float32)
            labels = torch.tensor([[[label for _, label in points]]], dtype=torch.int32)
        out = self.model._single_frame_forward(
            input_points=xy,
            input_labels=labels,
            input_masks=mask,
            image_embeddings=[*maps[:2], s16],
            multimask_output=len(points) <= 1,
        )
        hook.remove()
        score = seen["score"].reshape(())
        masks = torch.where(score > 0, seen["masks"][0], NO_OBJECT)
        size = target.shape[-2:]
        high = F.interpolate(masks, size, mode="bilinear", align_corners=False)[0]
        if counts:
            self.loss = self.loss + answer_loss(high, seen["ious"].flatten(), score, target)
        return out

    def correct(self, maps, s16, points, out, target, counts: bool):
        """Clicks at the centre of the larger error, on the mask of the answer before."""
        for _ in range(case.CORRECTIONS):
            mask = out.pred_masks
            mask = mask.detach() if self.stop_prompt_gradient else mask
            size = target.shape[-2:]
            high = F.interpolate(mask, size, mode="bilinear", align_corners=False)
            click, label = center_click(high[0, 0].detach().numpy() > 0, target.numpy() > 0)
            points = [*points, (click, label)]
            out = self.answer(maps, s16, points, mask, target, counts)
        return out

    def remember(self, maps, out, now: int, kept: bool, given=None) -> None:
        """given: the mask [S, S] that the answer is, if it is one."""
        model = self.model
        high = F.interpolate(
            out.pred_masks, (model.image_size,) * 2, mode="bilinear", align_corners=False
        )
        if given is not None:
            high = 20 * given[None, None] - 10
        memory, position = model.memory_encoder(maps[2], 20 * high.sigmoid() - 10)
        absent = (out.object_score_logits <= 0).float().reshape(1, 1, 1, 1)
        memory = memory + absent * model.occlusion_spatial_embedding_parameter[..., None, None]
        pair = [x.flatten(2).permute(2, 0, 1) for x in (memory, position)]
        pointer = out.object_pointer.reshape(1, -1)
        self.memory.append((now, kept, *pair, pointer))


def first_points(mask: np.ndarray, is_box: bool) -> list[tuple[Any, int]]:
    """An exact box, or a click on the deepest pixel."""
    if not is_box:
        return [center_click(None, mask)]
    y, x = np.nonzero(mask)
    return [((x.min(), y.min()), 2), ((x.max(), y.max()), 3)]


def clip_loss(
    model: Any,
    batch: ClipBatch,
    stop_prompt_gradient: bool = False,
    forget_first: bool = False,
) -> torch.Tensor:
    """Sum over rows, frames and answers, over the number of objects. The flags are for controls."""
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    frames = torch.from_numpy((batch.frames_u8 / np.float32(255) - mean) / std)
    masks = case.row_masks(batch)
    total = torch.zeros(())
    for b in range(len(frames)):
        encoded = model.get_image_features(frames[b].permute(0, 3, 1, 2), return_dict=True)
        flat, positions = encoded.fpn_hidden_states, encoded.fpn_position_encoding
        sizes = model.backbone_feature_sizes
        whole = [
            x.permute(1, 2, 0).reshape(x.shape[1], -1, *s) for x, s in zip(flat, sizes, strict=True)
        ]
        for slot in np.flatnonzero(batch.object_valid[b]):
            r = b * case.OBJECTS + int(slot)
            row = Row(model, stop_prompt_gradient, forget_first)
            for t in case.ORDER:
                maps = [x[t : t + 1] for x in whole]
                visit(row, maps, positions[-1][:, :1], r, b, t, batch, masks[t, r])
            total = total + row.loss
    return total / int(batch.object_valid.sum())


def visit(row: Row, maps, position, r: int, b: int, t: int, batch: ClipBatch, mask) -> None:
    """One frame: prompts or memory, an answer, corrections, and what is remembered."""
    model, now = row.model, int(batch.frame_index[b, t])
    target = torch.from_numpy(mask.astype(np.float32))
    is_conditioning = t in case.CONDITIONING
    counts = bool(batch.is_annotated[b, t])
    corrected = t in case.CORRECTED and counts and not case.BY_MASK[r]
    if is_conditioning and case.BY_MASK[r]:
        with reference.single_mask_pointer(model):
            out = model._use_mask_as_output(maps[2], maps[:2], target[None, None])
    else:
        points = []
        if is_conditioning:
            points = first_points(mask, bool(case.IS_BOX[t, r]))
            s16 = maps[2] + model.no_memory_embedding.reshape(1, -1, 1, 1)
        else:
            s16 = row.conditioned(maps, position, now)
        out = row.answer(maps, s16, points, None, target, counts)
        if corrected:
            out = row.correct(maps, s16, points, out, target, counts)
    given = target if is_conditioning and case.BY_MASK[r] else None
    row.remember(maps, out, now, is_conditioning or corrected, given)


def loss_and_gradients(model: Any, batch: ClipBatch, **control: bool):
    """The loss, and gradients by the names of the state dict; zero where there is none."""
    model.zero_grad()
    loss = clip_loss(model, batch, **control)
    loss.backward()
    named = dict(model.named_parameters())
    grads = {}
    for key, value in model.state_dict().items():
        grad = named[key].grad if key in named else None
        grads[key] = (torch.zeros_like(value) if grad is None else grad).numpy().copy()
    return loss.item(), grads
