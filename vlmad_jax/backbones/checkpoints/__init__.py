"""Files of tensors, wherever they are: the hub, safetensors, files of torch."""
