"""CholecTrack20: tools with three kinds of tracks in twenty laparoscopic cholecystectomies."""
