"""Writes the training goldens: `python -m tests.golden.make_training` (needs torch and a checkout).

Path:    original training/loss_fns.py and training/optimizer.py -> [make_training]
         -> sam2_training.npz -> tests/losses/test_reference, tests/train/test_reference_optimizer
Axes:    T frames, N objects, M candidates of a step, H W pixels; G parameters of a model.
Units:   logits; learning rates of three steps of three.
Errors:  FileNotFoundError without a checkout, see tests.parity.official_training.
Source:  sam2 1.1.0 with its MOSE fine-tuning YAML.
Differs: which rate and decay a parameter gets is asked of the original's own model; the update is
         then made on arrays of six numbers per parameter, since no size plays a part in it, at
         GAIN times the rates, so that it shows beside values of order 1 in float32.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.parity import official_training

FILE = Path(__file__).with_name("sam2_training.npz")
STEPS = ((3, 1, 1), (3,))  # candidates of each step of each frame
OBJECTS, SIDE, SHAPE, UPDATES, GAIN = 5, 8, (2, 3), 3, 1e4
VARIANTS = ("tiny", "base_plus")

# Settings of the original class; the first is that of the YAML.
SETTINGS: dict[str, dict[str, Any]] = {
    "sam2": {},
    "chosen_iou": dict(supervise_all_iou=False),
    "squared_iou": dict(iou_use_l1_loss=False),
    "focal_score": dict(focal_alpha_obj_score=0.3, focal_gamma_obj_score=2),
    "cross_entropy": dict(
        focal_alpha=-1,
        focal_gamma=0,
        weight_dict=dict(loss_mask=2.0, loss_dice=2.0, loss_iou=0.5, loss_class=0.25),
    ),
    "blanked": {},  # on masks that the model has emptied where the object score is negative
}


def loss_inputs() -> dict[str, np.ndarray]:
    """Two frames: an object absent in one, another scored absent though it is there, and so on."""
    rng = np.random.default_rng(4)
    targets = rng.random((len(STEPS), OBJECTS, SIDE, SIDE)) < 0.4
    targets[1, 2] = False  # gone in the second frame
    targets[0, 4] = False
    inputs = {"targets": targets}
    for t, candidates in enumerate(STEPS):
        for s, count in enumerate(candidates):
            logits = rng.normal(0, 4, (OBJECTS, count, SIDE, SIDE))
            logits += 3 * (2 * targets[t, :, None] - 1) * rng.random((OBJECTS, count, 1, 1))
            inputs[f"logits/{t}/{s}"] = logits.astype(np.float32)
            inputs[f"ious/{t}/{s}"] = rng.random((OBJECTS, count)).astype(np.float32)
            inputs[f"scores/{t}/{s}"] = rng.normal(0, 3, (OBJECTS, 1)).astype(np.float32)
    return inputs


def losses(checkout: Path) -> dict[str, np.ndarray]:
    """Every setting's losses, and gradients of the weighted sum."""
    original = official_training.module(checkout, "loss_fns")
    yaml_loss = dict(official_training.recipe(checkout)["loss"]["all"])
    yaml_loss.pop("_target_")
    inputs, results = loss_inputs(), {}
    for name, changes in SETTINGS.items():
        leaves = {
            key: torch.tensor(value, requires_grad=True)
            for key, value in inputs.items()
            if key != "targets"
        }
        outputs = []
        for t, candidates in enumerate(STEPS):
            steps = range(len(candidates))
            masks = [leaves[f"logits/{t}/{s}"] for s in steps]
            scores = [leaves[f"scores/{t}/{s}"] for s in steps]
            if name == "blanked":
                masks = [
                    torch.where(score[:, None, None] > 0, mask, -1024.0)
                    for mask, score in zip(masks, scores, strict=True)
                ]
            outputs.append(
                dict(
                    multistep_pred_multimasks_high_res=masks,
                    multistep_pred_ious=[leaves[f"ious/{t}/{s}"] for s in steps],
                    multistep_object_score_logits=scores,
                )
            )
        settings = {**yaml_loss, "weight_dict": dict(yaml_loss["weight_dict"]), **changes}
        found = original.MultiStepMultiMasksAndIous(**settings)(
            outputs, torch.tensor(inputs["targets"])
        )
        found["core_loss"].backward()
        for key, value in found.items():
            results[f"loss/{name}/{key}"] = np.float32(value.detach())
        for key, leaf in leaves.items():
            assert leaf.grad is not None
            results[f"gradient/{name}/{key}"] = leaf.grad.numpy()
    return {f"input/{key}": value for key, value in inputs.items()} | results


class _Options(dict):
    """The part of an omegaconf node that the original reads and sets."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


class _Schedule:
    """fvcore's schedulers of the YAML: a constant, or half a cosine over where in 0..1."""

    def __init__(self, node: dict[str, Any]):
        self.start = node.get("start_value", node.get("value"))
        self.end = node.get("end_value", self.start)

    def __call__(self, where: float) -> float:
        return self.end + 0.5 * (self.start - self.end) * (1 + np.cos(np.pi * where))


def original_optimizer(checkout: Path, model: Any) -> tuple[Any, list[str]]:
    """The original's optimizer over a model of its own, and the names in the groups' order."""
    original = official_training.module(checkout, "optimizer")
    optim = official_training.recipe(checkout)["optim"]
    modifier = dict(optim["param_group_modifiers"][0])
    keep = {k: v for k, v in modifier.items() if k not in ("_target_", "_partial_")}
    built = original.construct_optimizer(
        model,
        lambda groups: torch.optim.AdamW(groups),
        {
            option: [
                _Options({**node, "scheduler": _Schedule(node["scheduler"])}) for node in nodes
            ]
            for option, nodes in optim["options"].items()
        },
        [lambda **given: original.layer_decay_param_modifier(**given, **keep)],
    )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    order = [names[id(p)] for group in built.optimizer.param_groups for p in group["params"]]
    return built, order


def _model(variant: str) -> Any:
    """The original's own model of a variant."""
    from surgjax.checkpoints import export_official
    from surgjax.models import sam2, variants
    from tests.parity import official

    config = variants.get_config(variant)
    state = export_official(sam2.init_params(config, 0), config)
    return official.build(variant, config.image_size, state)


def optimizer(checkout: Path, variant: str) -> dict[str, np.ndarray]:
    """Rate and decay of each parameter by name, and three updates with clipped gradients."""
    built, order = original_optimizer(checkout, _model(variant))
    rng = np.random.default_rng(7)
    start = rng.normal(0, 1, (len(order), *SHAPE)).astype(np.float32)
    gradients = rng.normal(0, 0.1, (UPDATES, len(order), *SHAPE)).astype(np.float32)
    gradients[1] *= 1e-3 / len(order)  # short enough to stay as it is
    leaves = [torch.nn.Parameter(torch.tensor(value)) for value in start]
    rows = iter(leaves)
    groups = built.optimizer.param_groups
    small = torch.optim.AdamW([{"params": [next(rows) for _ in g["params"]]} for g in groups])
    clip = official_training.recipe(checkout)["optim"]["gradient_clip"]
    rates = []
    for step in range(UPDATES):
        built.step_schedulers(step / UPDATES, step)
        for group, source in zip(small.param_groups, groups, strict=True):
            group["lr"] = GAIN * float(source["lr"])
            group["weight_decay"] = float(source["weight_decay"])
        rates.append([float(g["lr"]) for g in groups for _ in g["params"]])
        for leaf, gradient in zip(leaves, gradients[step], strict=True):
            leaf.grad = torch.tensor(gradient)
        torch.nn.utils.clip_grad_norm_(leaves, clip["max_norm"], clip["norm_type"])
        small.step()
    decay = [g["weight_decay"] for g in small.param_groups for _ in g["params"]]
    end = np.stack([leaf.detach().numpy() for leaf in leaves])
    found = dict(names=np.array(order), rates=np.array(rates), decay=np.array(decay))
    found |= dict(start=start, gradients=gradients, end=end)
    return {f"optimizer/{variant}/{key}": value for key, value in found.items()}


def make(checkout: Path) -> dict[str, np.ndarray]:
    """Everything that the file holds."""
    found = losses(checkout)
    for variant in VARIANTS:
        found |= optimizer(checkout, variant)
    return found


def main() -> None:
    checkout = official_training.folder()
    if checkout is None:
        raise FileNotFoundError(
            "no checkout of sam2 1.1.0: run `make parity-official`, or set SURGJAX_OFFICIAL_SAM2."
        )
    np.savez_compressed(FILE, **make(checkout))
    print(f"wrote {FILE} ({FILE.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    main()
