"""Annotating a video by hand and tracker: prompts, corrections, masks, export; no interface."""
