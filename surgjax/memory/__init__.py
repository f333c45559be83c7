"""Memory: what is kept of earlier frames, what is read back, and how a frame attends to it."""
