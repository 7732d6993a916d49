"""The codebook that goes into a graph: the run's, one of another size, or none."""

from pathlib import Path

from utils.config import select
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError
from utils.features.retrieval import CodebookRetrieval, entries_per_speaker
from utils.training.checkpoints import TrainedVoice
from utils.training.codebook import CODEBOOK_FILE, build_codebooks


def refuse_lost_codebook(run: Path | None, wanted: int | None, voice: TrainedVoice) -> None:
    """Refuse a run that has lost its codebook: the graph would ignore index_rate without a word.

    Args:
        run: the run's folder; None for an imported voice.
        wanted: size of a codebook that is made anew; None for the run's own.
        voice: as it was read.
    Raises:
        ConfigError: if the codebook is absent and nothing takes its place.
    """
    if run is None or wanted is not None or voice.converter.retrieval is not None:
        return
    size = entries_per_speaker(select(voice.config, "retrieval.codebook_size", 0), len(voice.speakers))
    if size:
        raise ConfigError(
            f"{run / CODEBOOK_FILE} is absent, without which the graph could not retrieve; copy it from where the run "
            f"was trained, make one from the dataset with retrieval.codebook_size={size}, or do without: "
            "retrieval.codebook_size=0"
        )


def rebuilt_retrieval(store: CorpusStore, size: int, *, seed: int) -> CodebookRetrieval | None:
    """Return the retrieval inside the graph with a codebook of another size than the run's; None for 0."""

    return CodebookRetrieval(build_codebooks(store, size, seed=seed)) if size else None
