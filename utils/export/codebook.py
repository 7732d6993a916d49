"""The codebook that goes into a graph: the run's, one of another size, or none."""

from pathlib import Path

import numpy as np
import torch

from utils.config import select
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError, FormatError
from utils.features.retrieval import CodebookRetrieval, build_codebook, entries_per_speaker
from utils.rvc.faiss_vectors import read_index_file
from utils.training.checkpoints import TrainedVoice
from utils.training.codebook import CODEBOOK_FILE, CODEBOOK_FRAMES, build_codebooks


def refuse_lost_codebook(run: Path | None, wanted: int | None, voice: TrainedVoice) -> None:
    """Refuse a run that has lost its codebook: the graph would ignore index_rate without a word.

    Args:
        run: the run's folder; None for an imported voice.
        wanted: size of a codebook that is made anew; None for the run's own.
        voice: as it was read.
    Raises:
        ConfigError: if the codebook is absent and nothing takes its place.
    """
    if run is None or wanted is not None or voice.converter.retrieval is not None or voice.model.reads_audio:
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


def retrieval_of_index(path: Path, *, num_speakers: int, dim: int, seed: int) -> CodebookRetrieval:
    """Return the retrieval inside the graph with a codebook of what a FAISS index holds.

    Args:
        path: the .index that came with a voice of another program.
        num_speakers: of the voice.
        dim: D, size of its content vectors.
        seed: of the clustering.
    Raises:
        FormatError: if it is no index that can be read, or a damaged one.
        ConfigError: if it is not of this voice.
    """
    index = read_index_file(path)
    if num_speakers != 1:
        raise ConfigError(
            f"index={path} belongs to one speaker, the voice has {num_speakers}; type rvc.speakers=[0] to keep the "
            "first"
        )
    if index.dim != dim or not index.num_vectors:
        raise ConfigError(
            f"index={path} holds {index.num_vectors} vectors of {index.dim} values, the voice reads {dim}; give the "
            "index that came with it"
        )
    vectors = index.vectors
    if vectors is None:
        raise FormatError(
            f"index={path} is an {index.kind}, of which no vectors are read; give the file of an IndexIVFFlat, as "
            "programs of RVC write it (added_*.index)"
        )
    if not np.isfinite(vectors).all():
        raise FormatError(f"index={path} is damaged: it holds NaN or infinity; get the file again")
    kept = vectors[np.linspace(0, len(vectors) - 1, min(len(vectors), CODEBOOK_FRAMES)).astype(np.int64)]
    size = entries_per_speaker(None, num_speakers)
    return CodebookRetrieval(build_codebook(torch.from_numpy(kept), size, seed=seed)[None])
