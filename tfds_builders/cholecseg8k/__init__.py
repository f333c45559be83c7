"""CholecSeg8k: 13 classes in clips of 80 frames from Cholec80."""
