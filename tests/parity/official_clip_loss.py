"""The whole loss of training clips and one optimizer step by the original's own training code.

Path:    tests.golden.clip_loss_case -> SAM2Train, MultiStepMultiMasksAndIous, AdamW with the
         original's parameter groups -> [official_clip_loss] -> make_clip_loss, test_clip_loss
Axes:    torch layout (B, C, H, W); one row (object of a clip) at a time, since rows differ in how
         they are prompted, which in the original a whole batch shares.
Units:   prompts in pixels of the model's input.
Errors:  skips of the tests where there is no checkout.
Source:  sam2 1.1.0: training/model/sam2.py, training/loss_fns.py, training/optimizer.py.
Differs: the model is in evaluation mode, so that clicks are at centres and nothing is dropped; what
         the case prompts is given to it. Frames on which an object is given by its mask, or that
         nobody annotated, are left out of what the loss sees. SAM2Train uses pointers of later
         conditioning frames in training only; here as in training.
"""

import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surgjax.checkpoints import export_official, import_params
from surgjax.data.clips import ClipBatch
from surgjax.models.variants import IMAGE_MEAN, IMAGE_STD
from tests.golden import clip_loss_case as case
from tests.golden.make_training import original_optimizer
from tests.parity import official_model, official_training
from tests.parity.clip_loss import first_points


def build(checkout: Path) -> Any:
    """The original's model with the weights of the case."""
    model = official_model.build(
        checkout,
        case.CONFIG,
        export_official(case.params(), case.CONFIG),
        num_correction_pt_per_frame=case.CORRECTIONS,
        add_all_frames_to_correct_as_cond=True,
        only_obj_ptrs_in_the_past_for_eval=False,
    )
    return model.eval()


def _prompts(masks: torch.Tensor, r: int, annotated: np.ndarray) -> dict[str, Any]:
    """What the original's `prepare_prompt_inputs` would hand on for row r; masks [T, 1, S, S]."""
    by_mask, points = bool(case.BY_MASK[r]), {}
    if not by_mask:
        for t in case.CONDITIONING:
            found = first_points(masks[t, 0].numpy(), bool(case.IS_BOX[t, r]))
            points[t] = dict(
                point_coords=torch.tensor([[list(map(float, xy)) for xy, _ in found]]),
                point_labels=torch.tensor([[label for _, label in found]], dtype=torch.int32),
            )
    truth = {t: mask[:, None] for t, mask in enumerate(masks)}
    return dict(
        gt_masks_per_frame=truth,
        num_frames=len(masks),
        use_pt_input=not by_mask,
        init_cond_frames=list(case.CONDITIONING),
        frames_not_in_init_cond=[t for t in case.ORDER if t not in case.CONDITIONING],
        mask_inputs_per_frame={t: truth[t] for t in case.CONDITIONING} if by_mask else {},
        point_inputs_per_frame=points,
        frames_to_add_correction_pt=[
            t for t in case.CORRECTED if not by_mask and annotated[t]
        ],
    )  # fmt: skip


def clip_loss(model: Any, criterion: Any, batch: ClipBatch) -> torch.Tensor:
    """Sum of the original's core loss over rows, over their number."""
    mean, std = np.float32(IMAGE_MEAN), np.float32(IMAGE_STD)
    frames = torch.from_numpy((batch.frames_u8 / np.float32(255) - mean) / std)
    frames, truth = frames.permute(0, 1, 4, 2, 3), torch.from_numpy(case.row_masks(batch))
    total = torch.zeros(())
    for r in np.flatnonzero(np.asarray(batch.object_valid).ravel()):
        b, masks = r // case.OBJECTS, truth[:, r, None]
        annotated = batch.is_annotated[b]
        clip = types.SimpleNamespace(
            flat_img_batch=frames[b],
            masks=masks,
            num_frames=len(masks),
            flat_obj_to_img_idx=torch.arange(len(masks))[:, None],
        )
        prompts = _prompts(masks, r, annotated)
        outputs = model.forward_tracking(model.forward_image(frames[b]) | prompts, clip)
        counted = [
            t
            for t in range(len(masks))
            if annotated[t] and t not in prompts["mask_inputs_per_frame"]
        ]
        found = criterion([outputs[t] for t in counted], masks[counted])
        total = total + found[official_training.CORE_LOSS]
    return total / int(batch.object_valid.sum())


def loss_and_gradients(model: Any, criterion: Any, batch: ClipBatch) -> tuple[float, dict]:
    """The loss, and gradients in our layout; zero where there is none."""
    model.zero_grad()
    loss = clip_loss(model, criterion, batch)
    loss.backward()
    grads = {
        name: np.zeros(tuple(value.shape), np.float32) for name, value in model.state_dict().items()
    }
    grads |= {n: p.grad.numpy().copy() for n, p in model.named_parameters() if p.grad is not None}
    return loss.item(), import_params(grads, case.CONFIG)


def updated(checkout: Path, model: Any, moments: tuple[dict, dict] | None) -> dict:
    """Parameters, in our layout, after one step with the gradients that the model holds.

    Clipping, groups, rates and decay are those of the original's fine-tuning; rates times GAIN.
    moments: first and second, in our layout, as they are after case.COUNT steps; None: the first
    step.
    """
    built, order = original_optimizer(checkout, model)
    built.step_schedulers(0.0, 0)
    optimizer, named = built.optimizer, dict(model.named_parameters())
    for group in optimizer.param_groups:
        group["lr"] = case.GAIN * float(group["lr"])
        group["weight_decay"] = float(group["weight_decay"])
    if moments is not None:
        first, second = (export_official(tree, case.CONFIG) for tree in moments)
        for name in order:
            optimizer.state[named[name]] = dict(
                step=torch.tensor(float(case.COUNT)),
                exp_avg=torch.tensor(first[name]),
                exp_avg_sq=torch.tensor(second[name]),
            )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    clip = official_training.recipe(checkout)["optim"]["gradient_clip"]
    grads = {n: p.grad.clone() for n, p in named.items() if p.grad is not None}
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip["max_norm"], clip["norm_type"])
    optimizer.step()
    after = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    model.load_state_dict(before)
    for name, grad in grads.items():
        named[name].grad = grad
    return import_params(after, case.CONFIG)
