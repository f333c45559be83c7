"""EndoVis 2018 robotic scene segmentation: scene classes, and ISINet's instrument types."""
