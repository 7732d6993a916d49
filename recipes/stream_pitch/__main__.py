"""Make the pitch network of streaming graphs: it learns to give, from the past alone, what SwiftF0 gives.

    python -m recipes.stream_pitch output=stream.safetensors [corpus=FOLDER] [key=value ...]

`python -m benchmarks.streaming_pitch --weights stream.safetensors` compares the result with pitch=builtin.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from recipes.settings import new_output, run_recipe
from recipes.stream_pitch.examples import StreamPitchExamples
from recipes.stream_pitch.settings import PATHS, StreamPitchSettings
from recipes.stream_pitch.training import make_stream_network
from utils.errors import ConfigError


def make(settings: StreamPitchSettings) -> None:
    """Run the recipe.

    Raises:
        ConfigError: if the output is missing or exists, or start is no file.
        DataError: if the corpus has no recordings.
    """
    torch.set_num_threads(1)
    output = new_output(settings.output)
    if settings.start is not None and not settings.start.is_file():
        raise ConfigError(f"start={settings.start} is not a file; give weights of this recipe, or leave it out")
    examples = StreamPitchExamples(settings.corpus, settings.seed)
    make_stream_network(output, examples, minutes=settings.minutes, start=settings.start)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    folder = Path(__file__).parent
    return run_recipe(StreamPitchSettings, make, folder=folder, paths=PATHS, description=__doc__, arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
