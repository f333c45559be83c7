"""PolypGen: polyps in colonoscopy from six centres, single images and sequences."""
