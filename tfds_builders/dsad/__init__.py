"""DSAD: eleven abdominal organs in images of robot-assisted rectal surgery."""
