"""The retrieval codebook of a run: made from the dataset, its file, and whether that is the one of a checkpoint."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from utils.corpus.store import CorpusStore
from utils.errors import DataError, FormatError
from utils.features.retrieval import CodebookRetrieval, build_codebook
from utils.files import atomic_write_bytes

CODEBOOK_FILE = "codebook.safetensors"
CODEBOOK_FRAMES = 60_000  # frames of a speaker that are clustered
TENSOR = "codebook"
ORIGIN, CHECKSUM, REPLACED = "origin", "sha256", "replaces"  # in the file's metadata; the earliest have none
MAX_BYTES = 2**32
LENGTH_TOLERANCE = 0.01  # of an entry's length sqrt(D), which half precision rounds
AGAIN = "delete it: train.py resume=last makes it anew"


@dataclass(frozen=True)
class CodebookRecord:
    """What tells one codebook from another; stands in the checkpoints of the run.

    Attributes:
        sha256: of shape, kind and numbers.
        shape: [S, K, D].
        origin: stands for everything that it was made from; empty where its file does not say.
    """

    sha256: str
    shape: tuple[int, ...]
    origin: str = ""

    @classmethod
    def of(cls, codebook: Tensor, origin: str = "") -> "CodebookRecord":
        """Describe a codebook."""
        return cls(_sha256(codebook), tuple(codebook.shape), origin)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], source: str) -> "CodebookRecord":
        """Read what a checkpoint says.

        Raises:
            FormatError: if it is no such record.
        """
        digest, shape, origin = (plain.get(key) for key in ("sha256", "shape", "origin"))
        is_shape = isinstance(shape, list) and all(type(count) is int for count in shape)
        if not (isinstance(digest, str) and isinstance(origin, str) and is_shape):
            raise FormatError(f"{source}: what it says of its codebook is damaged; get the file again")
        return cls(digest, tuple(shape or ()), origin)

    def to_plain(self) -> dict[str, Any]:
        """Return the record as a checkpoint holds it."""
        return {"sha256": self.sha256, "shape": list(self.shape), "origin": self.origin}


@dataclass(frozen=True)
class StoredCodebook:
    """A codebook file, read and checked.

    Attributes:
        codebook: [S, K, D].
        record: what tells it from others.
        replaces: SHA-256 of those of the same run that it took the place of, when settings were changed on purpose.
    """

    codebook: Tensor
    record: CodebookRecord
    replaces: tuple[str, ...] = ()

    def require(self, run: Path, expected: CodebookRecord | None, source: str) -> None:
        """Check that a checkpoint's codebook is this one, or one whose place this one took.

        Raises:
            FormatError: if it is another.
        """
        if expected is None or expected.sha256 in (self.record.sha256, *self.replaces):
            return
        raise FormatError(
            f"codebook {run / CODEBOOK_FILE} is not the one of {source} (shape {list(self.record.shape)} instead of "
            f"{list(expected.shape)}, SHA-256 {self.record.sha256[:12]} instead of {expected.sha256[:12]}); copy it "
            f"from where the run was trained, or {AGAIN}"
        )


def build_codebooks(store: CorpusStore, size: int, *, seed: int) -> torch.Tensor:
    """Cluster each speaker's training content into one codebook; returns [S, K, D].

    Raises:
        DataError: if a speaker has none.
    """
    books = []
    for name in store.speakers:
        clips = [clip for clip in store.split("train") if clip.speaker == name]
        if not clips:
            words = f"{store.path}: all recordings of {name!r} are held out, none is left to train on"
            raise DataError(f"{words}; add recordings, or run preprocess.py with preprocess.held_out_files=0")
        frames = store.sample_frames("content", clips, CODEBOOK_FRAMES, seed=seed)
        books.append(build_codebook(torch.from_numpy(frames), size, seed=seed))
    most = max(len(book) for book in books)
    # speakers with fewer vectors repeat theirs: a repeated entry changes a blend of neighbours, not its meaning
    return torch.stack([book.repeat(-(-most // len(book)), 1)[:most] for book in books])


def save_codebook(run: Path, codebook: Tensor, origin: str = "", *, replaces: Sequence[str] = ()) -> CodebookRecord:
    """Write the retrieval codebook [S, K, D] of a run, with its checksum and those of the codebooks that it replaces.

    Args:
        run: the run's folder.
        codebook: to write.
        origin: stands for everything that it was made from.
        replaces: SHA-256 of codebooks that it takes the place of, besides that of the file that is there.
    """
    record = CodebookRecord.of(codebook, origin)
    replaced = ",".join(_replaced(run, record, replaces))
    metadata = {ORIGIN: origin, CHECKSUM: _sha256(codebook, origin, replaced)}
    metadata |= {REPLACED: replaced} if replaced else {}
    atomic_write_bytes(run / CODEBOOK_FILE, save({TENSOR: codebook.contiguous()}, metadata))
    return record


def codebook_origin(run: Path) -> str:
    """Return the `origin` that the run's codebook was saved with; empty if it has none or is damaged."""
    try:
        stored = read_stored(run)
    except FormatError:
        return ""
    return "" if stored is None else stored.record.origin


def read_codebook(
    run: Path, expected: CodebookRecord | None = None, source: str = "its checkpoint"
) -> CodebookRetrieval | None:
    """Read the retrieval of a run; None when the run has none (retrieval.codebook_size=0).

    Args:
        run: the run's folder.
        expected: what the checkpoint says of its codebook; None where it does not say.
        source: words for the checkpoint, for messages.
    Raises:
        FormatError: in one line, if the file is damaged, holds no codebook, or not the checkpoint's.
    """
    stored = read_stored(run)
    if stored is None:
        return None
    stored.require(run, expected, source)
    return CodebookRetrieval(stored.codebook)


def require_sizes(codebook: Tensor, run: Path, source: str, *, num_speakers: int, dim: int, most: int | None) -> None:
    """Check that a codebook is of these speakers and features: files without checksum say nothing else of themselves.

    Args:
        codebook: [S, K, D].
        run: the folder of its file, for the message.
        source: what it must fit, for the message.
        num_speakers: S.
        dim: D.
        most: largest K that can be; None where that is not known.
    Raises:
        FormatError: if it is of others, or larger.
    """
    speakers, entries, size = codebook.shape
    if (speakers, size) == (num_speakers, dim) and (most is None or entries <= most):
        return
    at_most = f" and at most {most} entries" if most is not None else ""
    raise FormatError(
        f"codebook {run / CODEBOOK_FILE} has {entries} entries of {size} values for each of {speakers} speaker(s), "
        f"{source} has {num_speakers} speaker(s), {dim} values{at_most}; copy it from where the run was "
        f"trained, or {AGAIN}"
    )


def codebook_record(run: Path) -> CodebookRecord | None:
    """Return what tells the codebook of a run from others; None where it has none."""
    stored = read_stored(run)
    return None if stored is None else stored.record


def read_stored(run: Path) -> StoredCodebook | None:
    """Read the codebook file of a run; None where there is none.

    Raises:
        FormatError: in one line, if the file is damaged or holds no codebook.
    """
    path = run / CODEBOOK_FILE
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_BYTES:
        raise FormatError(f"codebook {path} has {path.stat().st_size / 1e9:.0f} GB, which none has; {AGAIN}")
    data = path.read_bytes()
    try:
        codebook = load(data)[TENSOR]
        metadata = _metadata(data)
        _require_codebook(codebook)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise FormatError(f"codebook {path} is damaged ({' '.join(str(error).split())[:120]}); {AGAIN}") from error
    origin, replaced = metadata.get(ORIGIN, ""), metadata.get(REPLACED, "")
    if CHECKSUM in metadata and metadata[CHECKSUM] != _sha256(codebook, origin, replaced):
        raise FormatError(f"codebook {path} is damaged (its checksum is wrong); {AGAIN}")
    earlier = tuple(item for item in replaced.split(",") if item)
    return StoredCodebook(codebook, CodebookRecord.of(codebook, origin), earlier)


def _metadata(data: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file, whose header must be as it is written: no byte of it is free.

    Raises:
        ValueError: if the header is another.
    """
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].decode("utf-8")
    content = json.loads(header)
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    if header.rstrip(" ") != text or len(header) - len(text) > 7 or set(content) - {"__metadata__"} != {TENSOR}:
        raise ValueError("its header is not as it was written")
    metadata: dict[str, str] = content.get("__metadata__", {})
    if not set(metadata) <= {ORIGIN, CHECKSUM, REPLACED} or (CHECKSUM not in metadata and REPLACED in metadata):
        raise ValueError("its header is not as it was written")
    return metadata


def _require_codebook(codebook: Tensor) -> None:
    """Check what holds for every codebook, also for one whose file has no checksum.

    Raises:
        ValueError: if it does not hold.
    """
    if codebook.dim() != 3 or 0 in codebook.shape or codebook.dtype != torch.float32:
        raise ValueError(f"{codebook.dtype} {list(codebook.shape)} is no codebook")
    if not bool(torch.isfinite(codebook).all()):
        raise ValueError("it holds NaN or infinity")
    lengths = codebook.square().mean(dim=-1).sqrt()
    # a frame of zeros has no direction and stays one
    if not bool((((lengths - 1).abs() < LENGTH_TOLERANCE) | (lengths == 0)).all()) or not bool((lengths > 0).any()):
        raise ValueError("its entries do not have the length of content vectors")
    if not bool((codebook.half().float() == codebook).all()):
        raise ValueError("it holds numbers that no codebook is made of")


def _replaced(run: Path, record: CodebookRecord, known: Sequence[str]) -> list[str]:
    """Return what a new codebook of a run takes the place of."""
    try:
        stored = read_stored(run)
    except FormatError:
        stored = None
    earlier = [*known] if stored is None else [*stored.replaces, stored.record.sha256, *known]
    return [digest for digest in dict.fromkeys(earlier) if digest != record.sha256]


def _sha256(codebook: Tensor, *texts: str) -> str:
    """Return a hash of a codebook's shape, kind and numbers, and of texts."""
    values = codebook.detach().cpu().contiguous()
    digest = hashlib.sha256(repr((list(values.shape), str(values.dtype), *texts)).encode("utf-8"))
    digest.update(values.numpy().tobytes())
    return digest.hexdigest()
