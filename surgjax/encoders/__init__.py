"""Image encoders: trunk and neck, from a frame to `ImageFeatures`."""
