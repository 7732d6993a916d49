"""RVC's side of the export: its generator for other programs, its files, and its voices as one graph."""
