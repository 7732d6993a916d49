"""Pages that one opens in a browser: what a dataset is, how a run went, how an exported voice sounds.

A page is one file that needs no network. `report.write_page` makes it; nothing here needs PyTorch.
"""
