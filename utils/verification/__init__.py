"""Proof that an exported graph does what the programs that load it need, with or without its PyTorch side."""
