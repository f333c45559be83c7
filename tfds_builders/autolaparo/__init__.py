"""AutoLaparo, task 3: instruments and uterus in clips of laparoscopic hysterectomy."""
