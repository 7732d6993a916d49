"""Write a trained student as weights that content=builtin reads."""

import logging
from dataclasses import asdict
from pathlib import Path

from recipes.content_encoder.examples import ContentExamples
from recipes.content_encoder.sharpen import NUM_PAIRS, sharpen
from recipes.content_encoder.student import StudentSizes, read_checkpoint
from recipes.content_encoder.target_space import TargetSpace
from recipes.content_encoder.teacher_features import Features
from utils.errors import ConfigError
from utils.features.content.grid import to_grid
from utils.training.checkpoints import save_weights

KEPT_PRECISE = frozenset({"filters.weight", "head.weight"})
log = logging.getLogger(__name__)


def export(checkpoint: Path, weights: Path, features: Features, *, version: str, num_pairs: int = NUM_PAIRS) -> None:
    """Sharpen the network of a checkpoint (see sharpen.py) and write it as BuiltinContent reads it.

    Large matrices are rounded to 8 bits (utils/features/content/grid.py) but for the two that rounding would hurt most,
    the first filters and the head with its directions of very different size; the rest is in half precision.

    Args:
        checkpoint: of the training.
        weights: file to write.
        features: what the training learned from.
        version: what datasets and exports will name.
        num_pairs: of the sharpening.
    Raises:
        ConfigError: if the weights exist already: datasets and voices made with them would no longer fit.
    """
    content = read_checkpoint(checkpoint)
    if weights.exists():
        raise ConfigError(f"{weights} exists; datasets and voices made with it need it, so give another name")
    sizes = StudentSizes(**content["sizes"])
    network = sizes.build()
    network.load_state_dict(content["network"])
    examples = ContentExamples(features, TargetSpace(**content["space"]), seed=content["seed"])
    sharpen(network, examples, num_pairs=num_pairs)
    named = {key: str(value) for key, value in asdict(sizes).items() if key != "num_units"}
    named |= {"version": version}
    save_weights(weights, to_grid(network.state_dict(), keep=KEPT_PRECISE), named)
    log.info("step %d of %s -> %s", content["step"], checkpoint, weights)
