"""Pictures of results: overlays, contact sheets, videos. Arrays in, arrays or files out."""
