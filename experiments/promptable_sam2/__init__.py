"""Promptable SAM 2: training and evaluation of prompted masks and tracked clips."""
