"""Annotating a video: prompts, corrections, tracking and export, without a page or a server."""
