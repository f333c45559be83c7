"""EndoVis 2017 robotic instrument segmentation: types, parts and instances of instruments."""
