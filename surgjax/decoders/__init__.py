"""Mask decoder and its two-way transformer."""
