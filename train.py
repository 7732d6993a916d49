"""Train a voice: python train.py dataset.name=<name>  (python train.py --help explains the groups)."""

from omegaconf import DictConfig

from utils.config import run_script


def main(config: DictConfig) -> float | None:
    """Train the run that the configuration describes; return its lowest held-out val/mel, which a sweep minimises."""
    from utils.training.fit import best_held_out, train

    return best_held_out(train(config))


if __name__ == "__main__":
    run_script("train", main)
