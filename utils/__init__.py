"""Rooms of the workbench; each subfolder has one job (see docs/architecture in the README)."""
