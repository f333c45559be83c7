"""SAR-RARP50: instruments and suturing in robotic prostatectomy, one mask a second."""
