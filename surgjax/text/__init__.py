"""Text: CLIP's tokenizer and text tower, the names of surgical classes, the text bank."""
