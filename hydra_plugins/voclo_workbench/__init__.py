"""What Hydra finds by itself: the launcher `hydra/launcher=slurm` and the sweeper `hydra/sweeper=optuna`."""
