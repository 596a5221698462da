"""What the entry points in `experiments` share, and the command `vlmad` that starts them from anywhere."""
