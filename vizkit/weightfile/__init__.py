"""Files of weights that somebody else wrote: looked at before they are loaded, loaded as tensors and nothing else.

safetensors files are read here; pickled ones (``.pt``, ``.pth``) only in a throw-away process, by ``torch.load(weights_only=True)``.
"""
