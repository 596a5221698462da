"""What methods are made of: prompts, windows, neighbours, Gaussians, losses."""
