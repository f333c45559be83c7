"""Any folder of yours in the DAVIS layout: JPEGImages/<video>/, Annotations/<video>/."""
