"""Endoscapes2023: masks, boxes and critical view of safety in laparoscopic cholecystectomy."""
