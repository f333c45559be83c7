"""SAM2S: long-term tracking in surgical video."""
