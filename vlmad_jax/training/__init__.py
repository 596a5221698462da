"""Training of learned detectors: batches, the training step and loop, checkpoints and cached features."""
