"""Code shared by the entry points in `experiments`, and the command `vlmad`, which starts them."""
