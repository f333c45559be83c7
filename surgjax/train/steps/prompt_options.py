"""What a config may say about the prompts and the loss of a training step.

Path:    config -> [prompt_options] -> train.steps
Units:   probabilities in 0..1; sizes in pixels.
Errors:  ValueError on a name that is not known, and see `prompts.schedule`.
Source:  SAM 2, arXiv:2408.00714, appendix on training; reference file training/model/sam2.py.
Differs: the defaults are those of the bundled `nano`. `sam2_finetuning` is SAM 2.1's public recipe.
"""

import dataclasses

from surgjax.layers.rematerialisation import check_policy
from surgjax.losses import LossWeights
from surgjax.prompts.schedule import ScheduleOptions
from surgjax.prompts.simulated_prompts import CORRECTIONS_START

SAMPLINGS = ("uniform", "center")
MEMORIES = ("recent", "hybrid")


@dataclasses.dataclass(frozen=True)
class PromptOptions:
    """How a step prompts and what it counts."""

    box_probability: float = 0.5  # otherwise a click
    exact_box_probability: float = 0.0  # of a box that touches the object on all four sides
    mask_probability: float = 0.0  # of a clip's object that is given by its mask instead
    given_answers: bool = True  # such an object also answers a click or a box, for the loss alone
    given_masks_full_size: bool = False  # whether memory of such a mask is that of the whole one
    conditioning_frames: int = 1  # of a clip, at most
    corrected_frames: int = 1  # of a clip, at most
    corrections: int = 0  # further clicks on each corrected frame
    correction_sampling: str = "uniform"  # over the error region, or at its "center"
    from_target_probability: float = 0.1  # of a uniform correction that ignores the prediction
    mask_prompt_limit: float = 32.0  # logits of the mask a correction starts from are clipped to it
    mask_prompt_gradient: bool = False  # whether a gradient flows back through that mask
    other_mask_weight: float = 0.5  # of the masks that SAM 2's rule does not choose
    blank_absent: bool = False  # losses see masks blanked where the object score is negative
    sum_frames: bool = False  # losses of a clip's frames are summed, otherwise averaged
    loss_size: int = 128  # pixels, square
    weights: LossWeights = LossWeights()
    auxiliary_weight: float = 0.0  # of the dense loss on the encoder
    memory: str = "recent"  # or "hybrid": long-range frames of a clip are kept for long
    long_frames: int = 2  # of a clip, at most, under "hybrid"
    drift_probability: float = 0.0  # of a row remembering another object's masks, see clip_drift
    semantic_weight: float = 0.0  # of the loss of semantic tokens; SAM2S's recipe here: 0.1
    semantic_balance: float = 0.0  # 1: that loss counts frequent classes no likelier, see losses
    memory_dropout: bool = False  # of the memory attention, at the model's rate
    remat: str = "none"  # what a frame's backward pass computes anew, see layers.rematerialisation

    def __post_init__(self):
        if self.correction_sampling not in SAMPLINGS:
            raise ValueError(
                f"correction_sampling: one of {SAMPLINGS} expected, "
                f"found {self.correction_sampling!r}."
            )
        if self.memory not in MEMORIES or self.long_frames < 1:
            raise ValueError(
                f"memory: one of {MEMORIES} expected, and long_frames of 1 or more; found "
                f"{self.memory!r} and {self.long_frames}."
            )
        check_policy(self.remat)
        if self.loss_size < 1 or not self.mask_prompt_limit > 0:
            raise ValueError(
                "loss_size of 1 or more and mask_prompt_limit above 0 expected, found "
                f"{self.loss_size} and {self.mask_prompt_limit}."
            )
        if not 0 <= self.drift_probability <= 1:
            raise ValueError(
                f"drift_probability from 0 to 1 expected, found {self.drift_probability}."
            )
        for name in ("semantic_weight", "semantic_balance"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} of 0 or more expected, found {getattr(self, name)}.")
        self.schedule()  # which checks its own values

    @property
    def slots(self) -> int:
        """Slots of a row's prompts: a box, and the corrections."""
        return CORRECTIONS_START + self.corrections

    @property
    def remembered_conditioning(self) -> int:
        """Frames that a row's memory keeps throughout, at most."""
        prompted = self.corrected_frames if self.corrections else self.conditioning_frames
        return prompted + (self.long_frames if self.memory == "hybrid" else 0)

    def schedule(self) -> ScheduleOptions:
        return ScheduleOptions(
            conditioning_frames=self.conditioning_frames,
            corrected_frames=self.corrected_frames,
            mask_probability=self.mask_probability,
            box_probability=self.box_probability,
        )


def sam2_finetuning(image_size: int, **changes) -> PromptOptions:
    """SAM 2.1's public fine-tuning recipe: prompts, corrections and what the loss counts.

    Half of the objects are given by masks, a quarter each by clicks and boxes, on up to two frames
    of a clip of which, or of others, up to two are corrected by seven clicks.
    """
    recipe = PromptOptions(
        mask_probability=0.5,
        given_answers=False,
        given_masks_full_size=True,
        conditioning_frames=2,
        corrected_frames=2,
        corrections=7,
        mask_prompt_limit=float("inf"),
        mask_prompt_gradient=True,
        other_mask_weight=0.0,
        blank_absent=True,
        sum_frames=True,
        loss_size=image_size,
        memory_dropout=True,
    )
    return dataclasses.replace(recipe, **changes)
