"""CaDIS: semantic segmentation of cataract surgery, 36 classes, 25 videos."""
