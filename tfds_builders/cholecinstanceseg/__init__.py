"""CholecInstanceSeg: instances of surgical tools in frames of Cholec80 and CholecT50."""
