"""The retrieval codebook of a run: made from the dataset, and its file."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from utils.corpus.store import CorpusStore
from utils.errors import FormatError
from utils.features.retrieval import CodebookRetrieval, build_codebook
from utils.files import atomic_write_bytes

CODEBOOK_FILE = "codebook.safetensors"
CODEBOOK_FRAMES = 60_000  # frames of a speaker that are clustered


def build_codebooks(store: CorpusStore, size: int, *, seed: int) -> torch.Tensor:
    """Cluster each speaker's training content into one codebook; returns [S, K, D]."""
    books = []
    for name in store.speakers:
        clips = [clip for clip in store.split("train") if clip.speaker == name]
        frames = store.sample_frames("content", clips, CODEBOOK_FRAMES, seed=seed)
        books.append(build_codebook(torch.from_numpy(frames), size, seed=seed))
    most = max(len(book) for book in books)
    # speakers with fewer vectors repeat theirs: a repeated entry changes a blend of neighbours, not its meaning
    return torch.stack([book.repeat(-(-most // len(book)), 1)[:most] for book in books])


def save_codebook(run: Path, codebook: Tensor, origin: str = "") -> None:
    """Write the retrieval codebook [S, K, D] of a run; `origin` stands for everything that it was made from."""
    atomic_write_bytes(run / CODEBOOK_FILE, save({"codebook": codebook.contiguous()}, {"origin": origin}))


def codebook_origin(run: Path) -> str:
    """Return the `origin` that the run's codebook was saved with; empty if it has none or is damaged."""
    try:
        with safe_open(str(run / CODEBOOK_FILE), framework="pt") as stream:
            return (stream.metadata() or {}).get("origin", "")
    except SafetensorError:
        return ""


def read_codebook(run: Path) -> CodebookRetrieval | None:
    """Read the retrieval of a run; None when the run has none (retrieval.codebook_size=0)."""
    path = run / CODEBOOK_FILE
    if not path.is_file():
        return None
    try:
        return CodebookRetrieval(load_file(str(path))["codebook"])
    except (SafetensorError, KeyError) as error:
        words = f"codebook {path} is damaged ({error})"
        raise FormatError(f"{words}; delete it, train.py resume=last makes it anew") from error
