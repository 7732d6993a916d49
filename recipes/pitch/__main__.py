"""Make the network of pitch=builtin: SwiftF0's with fewer channels, taught by SwiftF0.

    python -m recipes.pitch output=pitch.safetensors [key=value ...]

Of the twelve channels of every layer, those are left out that the others can stand in for. Then the network learns to
give on changed sound what SwiftF0 gives on the plain one. Last, the odds of its voicing are set so that it calls as
much speech voiced as SwiftF0 does.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from recipes.pitch.examples import PitchExamples
from recipes.pitch.settings import PATHS, PitchSettings
from recipes.pitch.training import make_pitch_network
from recipes.settings import new_output, run_recipe


def make(settings: PitchSettings) -> None:
    """Run the recipe.

    Raises:
        ConfigError: if the output is missing or exists, or a folder of recordings is absent.
    """
    torch.set_num_threads(1)
    output = new_output(settings.output)
    corpora = [corpus.corpus(name) for name, corpus in settings.corpora.items()]
    make_pitch_network(output, PitchExamples(corpora, settings.leave_out, settings.seed), settings.updates)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    folder = Path(__file__).parent
    return run_recipe(PitchSettings, make, folder=folder, paths=PATHS, description=__doc__, arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
