"""Kvasir-SEG: polyps in colonoscopy, 1,000 single images."""
