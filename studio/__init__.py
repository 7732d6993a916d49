"""The studio: pages for a browser over the scripts of the workbench. Nothing here imports PyTorch."""
