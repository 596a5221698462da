"""The frozen backbone, CLIP in Flax, which knows nothing about anomalies."""
