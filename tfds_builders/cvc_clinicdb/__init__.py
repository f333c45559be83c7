"""CVC-ClinicDB: polyps in colonoscopy, 612 frames of 29 sequences."""
