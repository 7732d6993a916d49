"""Make a content encoder hear the same beside a cut as in the whole recording.

    python -m recipes.content_edges output=content_edges.safetensors [key=value ...]

Teacher and pupil are one encoder at first: the teacher hears excerpts of three seconds, the pupil windows of 100 to
600 ms of them that begin and end anywhere, some with changed sound. Its features stay those of the start, so voices and
base voices of the start may hear with it. Typed again the recipe continues where it saved last.
`python -m benchmarks.content_edges --weights content_edges.safetensors` judges the result.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from recipes.content_edges.examples import CutExamples
from recipes.content_edges.settings import PATHS, ContentEdgesSettings
from recipes.content_edges.training import make_edge_encoder
from recipes.settings import new_output, run_recipe


def make(settings: ContentEdgesSettings) -> None:
    """Run the recipe.

    Raises:
        ConfigError: if the output is missing or exists, or the start or a folder of recordings is absent.
    """
    torch.set_num_threads(1)
    output = new_output(settings.output)
    corpora = [corpus.corpus(name) for name, corpus in settings.corpora.items()]
    examples = CutExamples(
        corpora, settings.leave_out, settings.seed,
        whole_share=settings.whole_share, shortest_share=settings.shortest_share,
    )  # fmt: skip
    make_edge_encoder(
        output,
        examples,
        start=settings.start,
        teacher=str(settings.teacher) if settings.teacher is not None else None,
        num_updates=settings.updates,
        rate=settings.rate,
        save_minutes=settings.save_minutes,
        version=settings.version,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    folder = Path(__file__).parent
    return run_recipe(ContentEdgesSettings, make, folder=folder, paths=PATHS, description=__doc__, arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
