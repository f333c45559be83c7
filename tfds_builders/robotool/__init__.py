"""RoboTool: instruments against background in images of twenty public robotic operations."""
