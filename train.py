"""Train a voice: python train.py dataset.name=<name>  (python train.py --help explains the groups)."""

from omegaconf import DictConfig

from utils.config import run_script


def main(config: DictConfig) -> None:
    """Train the run that the configuration describes."""
    from utils.training.fit import train

    train(config)


if __name__ == "__main__":
    run_script("train", main)
