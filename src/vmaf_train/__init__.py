"""Tiny perceptual-video models that anyone can rebuild, check and use."""
