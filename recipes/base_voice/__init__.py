"""How the base voice, pretrained=builtin, was made."""
