"""Cataract-1K: segmentation of cataract surgery, 30 videos with polygons."""
