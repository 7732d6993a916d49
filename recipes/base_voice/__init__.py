"""How the base voice, pretrained=builtin, was made: written from a run, rewritten for an encoder, narrowed."""
