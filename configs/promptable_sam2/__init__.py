"""Runs of promptable SAM 2."""
