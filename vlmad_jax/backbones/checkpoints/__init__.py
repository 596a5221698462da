"""Checkpoints: the hub, safetensors files and torch files."""
