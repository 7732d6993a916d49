"""The kinds of retrieval indexes side by side, and what the codebook inside the graph loses against an index.

    python -m benchmarks.retrieval                          content of ../shared/corpora, else synthetic vectors
    python -m benchmarks.retrieval --run runs/<run>         content of the run's dataset, and conversions evaluated

"as RVC writes it" is IVF-Flat that visits one list, which is what RVC-WebUI and Applio store in their files.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.comparison import COLUMNS, Converter, column_cells, evaluate_variants, evaluators_of
from benchmarks.options import BenchmarkParser, work_folder, write_figures
from benchmarks.sources import pick_sources
from models.conversion import AudioConverter, Retrieval
from utils.audio.frames import FEATURE_RATE
from utils.audio.io import load_audio
from utils.audio.listing import list_audio
from utils.command_line import run_program
from utils.config.preprocess import preprocess_job
from utils.console import emit, table
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError
from utils.export.retrieval import baking_report, held_out, training_frames
from utils.features.index import FeatureIndex, IndexOptions, build_index
from utils.features.index_kinds import KINDS
from utils.features.retrieval import CodebookRetrieval, build_codebook
from utils.run_evaluation.torch_voice import TorchVoice
from utils.training.checkpoints import load_voice
from utils.voice_file.controls import ControlDefaults

HELD_OUT_SHARE = 0.1
SYNTHETIC_FRAMES, SYNTHETIC_DIM = 90_000, 256


class IndexRetrieval(nn.Module):
    """Retrieval from the whole index, in place of the codebook of a PyTorch voice."""

    def __init__(self, index: FeatureIndex) -> None:
        super().__init__()
        self.index = index

    def forward(self, content: Tensor, speaker_id: Tensor, share: Tensor | None = None) -> Tensor:
        """Return retrieved content [B, F, D], whatever the share of it that the voice will use."""
        flat = self.index.retrieve(content.reshape(-1, content.shape[-1]).numpy())
        return torch.from_numpy(flat).to(content.dtype).reshape(content.shape)


class IndexedContent(NamedTuple):
    """What is indexed: a name for it, content to index [N, D] and held-out content [Q, D] to search with."""

    name: str
    frames: np.ndarray
    queries: np.ndarray


def load_content(options: argparse.Namespace) -> IndexedContent:
    """Return the content of the run, else of the target's recordings, else synthetic clusters."""
    if options.run is not None:
        store = open_store(options)
        queries = [frames for _, frames in held_out(store)]
        frames = np.concatenate(training_frames(store))
        return IndexedContent(f"content of {options.run}", frames, np.concatenate(queries) if queries else frames[:0])
    folder: Path = options.target
    if folder.is_dir():
        encoder = preprocess_job([]).content.build()
        clips = [_content(encoder, path) for path in list_audio(folder)]
        last = max(1, round(HELD_OUT_SHARE * len(clips)))
        return IndexedContent(f"content of {folder.name}", np.concatenate(clips[:-last]), np.concatenate(clips[-last:]))
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((400, SYNTHETIC_DIM))
    frames = centres[rng.integers(400, size=SYNTHETIC_FRAMES)] + 0.6 * rng.standard_normal(
        (SYNTHETIC_FRAMES, SYNTHETIC_DIM)
    )
    frames *= np.sqrt(SYNTHETIC_DIM) / np.linalg.norm(frames, axis=1, keepdims=True)
    return IndexedContent(f"synthetic clusters ({folder} is not there)", frames[:-2000], frames[-2000:])


def open_store(options: argparse.Namespace) -> CorpusStore:
    """Open the dataset of the run."""
    if options.dataset is None:
        raise ConfigError("--run needs --dataset=<the run's dataset folder>")
    return CorpusStore.open(options.dataset)


def index_rows(frames: np.ndarray, queries: np.ndarray, max_vectors: int) -> list[list[object]]:
    """Return a row for each kind and one for the files that RVC's tools write."""
    rows: list[list[object]] = []
    for name in KINDS:
        index = build_index([frames], queries, IndexOptions(kind=name, max_vectors=max_vectors))
        rows.append(_row(name, index))
        if name == "ivf":
            index.index.nprobe = 1
            exact = build_index([frames], queries, IndexOptions(kind="flat", max_vectors=max_vectors))
            asked = np.ascontiguousarray(queries[:2000], np.float32)
            truth, found = exact.search(asked)[1], index.search(asked)[1]
            recall = np.mean([len(set(one) & set(other)) / len(one) for one, other in zip(truth, found, strict=True)])
            rows.append(_row("ivf, as RVC writes it", replace_report(index, float(recall))))
    return rows


def replace_report(index: FeatureIndex, recall: float) -> FeatureIndex:
    """Return an index whose report says what it finds when one list is visited."""
    return FeatureIndex(index.index, replace(index.report, effort=1, recall=recall, query_microseconds=float("nan")))


def codebook_rows(frames: np.ndarray, queries: np.ndarray, sizes: Sequence[int]) -> list[list[object]]:
    """Return a row for each size of the codebook: bytes, cosine to what the whole index retrieves."""
    index = build_index([frames], queries, IndexOptions(kind="flat"))
    rows: list[list[object]] = []
    for size in sizes:
        limit = frames[np.random.default_rng(0).permutation(len(frames))[:60_000]]
        book = build_codebook(torch.from_numpy(np.asarray(limit, np.float32)), size)
        report = baking_report(index, CodebookRetrieval(book[None]), [(0, np.asarray(queries, np.float32))])
        assert report is not None
        rows.append([size, f"{book.numel() * 4 / 1e6:.1f}", f"{report.cosine:.3f}", f"{report.cosine_to_content:.3f}"])
    return rows


def evaluated_rows(options: argparse.Namespace, work: Path) -> list[list[object]]:
    """Convert with no retrieval, the codebook and the whole index, and evaluate the results."""
    voice = load_voice(options.run)
    index = build_index(training_frames(open_store(options)), None, IndexOptions(kind="flat"))
    codebook = voice.converter.retrieval
    controls = ControlDefaults(index_rate=options.index_rate, protect=0.5)

    def through(retrieval: Retrieval | None) -> Converter:
        parts = voice.model, voice.converter.frontend, retrieval, voice.converter.resampler
        converter = AudioConverter(*parts, highpass=voice.converter.highpass)
        return TorchVoice(converter.eval(), controls).run

    variants = {
        "no retrieval": through(None),
        **({} if codebook is None else {"codebook": through(codebook)}),
        "whole index": through(IndexRetrieval(index)),
    }
    sources = [path for _, path in pick_sources(options.sources, options.source_count)]
    means = evaluate_variants(
        variants, voice.io_rate, sources, list_audio(options.target), evaluators_of(options), work / "converted"
    )
    return [[name, *column_cells(each)] for name, each in means.items()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    return run_program("retrieval", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Measure and print the tables; return the exit code."""
    work = work_folder(options)
    content = load_content(options)
    emit(f"{content.name}: {len(content.frames)} frames to index, {len(content.queries)} held out")
    kinds = index_rows(content.frames, content.queries, options.max_vectors)
    emit(table(kinds, ["kind", "vectors", "MB", "build (s)", "us a frame", "setting", "recall@8"]))
    books = codebook_rows(content.frames, content.queries, options.codebooks)
    emit(table(books, ["codebook", "MB", "cosine to index", "index to frames"]))
    evaluated: list[list[object]] = []
    if options.run is not None:
        evaluated = evaluated_rows(options, work)
        emit(table(evaluated, [f"index_rate {options.index_rate:g}", *COLUMNS.values()]))
    result = {"content": content.name, "kinds": kinds, "codebooks": books, "evaluated": evaluated}
    write_figures(options, "retrieval", result)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("retrieval", __doc__)
    parser.add_argument("--run", type=Path, help="folder that train.py made; its conversions are evaluated too")
    parser.add_argument("--dataset", type=Path, help="the dataset of --run")
    parser.add_target()
    parser.add_sources(10)
    parser.add_argument("--index-rate", type=float, default=1.0, help="share of retrieved content")
    parser.add_argument("--max-vectors", type=int, default=300_000, help="more frames are reduced by k-means")
    parser.add_argument("--codebooks", type=int, nargs="*", default=[512, 2048, 4096], help="sizes of the codebook")
    parser.add_evaluators(("resemblyzer", "ecapa", "whisper"))
    parser.add_work()
    return parser.parse_args(arguments)


def _content(encoder: nn.Module, path: Path) -> np.ndarray:
    audio = load_audio(path, FEATURE_RATE)
    features: np.ndarray = encoder.encode(audio[: len(audio) // 160 * 160])  # type: ignore[operator]
    return features


def _row(name: str, index: FeatureIndex) -> list[object]:
    values = asdict(index.report)
    setting = f"{values['effort_name']} {values['effort']}" if values["effort_name"] else "-"
    speed = values["query_microseconds"]
    return [name, values["num_vectors"], f"{values['size_bytes'] / 1e6:.1f}", f"{values['build_seconds']:.1f}",
            "-" if np.isnan(speed) else f"{speed:.0f}", setting, f"{values['recall']:.3f}"]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
