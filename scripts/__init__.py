"""The demo, the smoke run of README and the trial of a cluster."""
