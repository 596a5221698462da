"""Parts of methods: prompts, windows, neighbours, coresets, Gaussians, maps, probabilities and losses."""
