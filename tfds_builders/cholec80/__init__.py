"""Cholec80: phases and tools of eighty laparoscopic cholecystectomies."""
