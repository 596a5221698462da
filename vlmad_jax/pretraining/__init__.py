"""Pretraining of the bundled CLIP on rendered images."""
