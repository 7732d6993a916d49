"""Train a voice: python train.py dataset.name=<name>  (python train.py --help explains the groups)."""

from omegaconf import DictConfig

from utils.config import given_keys, run_script
from utils.config.arguments import spell_names
from utils.errors import ConfigError


def main(config: DictConfig) -> float | None:
    """Train what the configuration describes; return the held-out figure of its best.ckpt, which a sweep minimises."""
    if config.task != "voice":
        raise ConfigError(f"task={config.task}: train.py trains voices; type python -m recipes.content_encoder")
    from utils.config.train import TrainJob
    from utils.training import train
    from utils.training.summary import best_held_out

    return best_held_out(train(TrainJob.from_config(config, given_keys())))


if __name__ == "__main__":
    names = ("dataset.name", "dataset.root", "run.name", "run.root")
    run_script("train", main, spell=lambda arguments: spell_names(arguments, names))
