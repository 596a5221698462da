"""The entry points: absl flags in, a call or two, files out."""
