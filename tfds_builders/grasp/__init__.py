"""GraSP: instrument instances on key frames of robotic prostatectomies."""
