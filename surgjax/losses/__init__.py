"""Training losses: functions of arrays that know no model."""

from surgjax.losses.mask_losses import dice_loss, focal_loss, iou_loss, object_score_loss
from surgjax.losses.prompted_masks import LossWeights, MaskTerms, mask_terms, prompted_mask_loss

__all__ = [
    "LossWeights",
    "MaskTerms",
    "dice_loss",
    "focal_loss",
    "iou_loss",
    "mask_terms",
    "object_score_loss",
    "prompted_mask_loss",
]
