"""Rooms of the workbench; each subfolder has one job (see docs/explanation/architecture.md)."""
