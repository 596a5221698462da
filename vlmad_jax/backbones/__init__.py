"""CLIP in Flax: the backbone. It knows nothing about anomalies."""
