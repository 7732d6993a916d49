"""Judge the states of a run while it trains: a program of its own, which the training starts and nothing waits for."""
