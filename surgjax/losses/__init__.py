"""Training losses: functions of arrays that know no model."""

from surgjax.losses.mask_losses import dice_loss, focal_loss, iou_loss, object_score_loss
from surgjax.losses.prompted_masks import LossWeights, MaskTerms, mask_terms, prompted_mask_loss
from surgjax.losses.semantic import NO_CLASS, SemanticTerms, semantic_terms
from surgjax.losses.soft_labels import ArlOptions, soft_focal_loss, soften

__all__ = [
    "NO_CLASS",
    "ArlOptions",
    "LossWeights",
    "MaskTerms",
    "SemanticTerms",
    "dice_loss",
    "focal_loss",
    "iou_loss",
    "mask_terms",
    "object_score_loss",
    "prompted_mask_loss",
    "semantic_terms",
    "soft_focal_loss",
    "soften",
]
