"""Proof, by the file alone, that an exported graph does what the programs that load it need."""
