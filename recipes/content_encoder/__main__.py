"""Make the content encoder: the teacher's features of all recordings, a training, and weights for content=builtin.

    python -m recipes.content_encoder [key=value ...]

Typed again it continues where it stopped. docs/guides/content_encoder.md says how to get the recordings.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from recipes.content_encoder.recipe import make_content_encoder
from recipes.content_encoder.settings import PATHS, ContentEncoderSettings
from recipes.settings import run_recipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    folder = Path(__file__).parent
    return run_recipe(
        ContentEncoderSettings,
        make_content_encoder,
        folder=folder,
        paths=PATHS,
        description=__doc__,
        arguments=arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
