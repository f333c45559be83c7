"""BKAI-IGH NeoPolyp: neoplastic and non-neoplastic polyps, single images."""
