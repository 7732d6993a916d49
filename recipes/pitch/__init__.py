"""How the weights of pitch=builtin were made."""
