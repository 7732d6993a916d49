"""How many letters does a small recogniser read off frozen content features, in voices that it was not trained on?

    python -m benchmarks.content_probe [--train FOLDER --test FOLDER] [--json FILE]

A folder holds recordings and transcripts.json (file name -> text); without one, Whisper base writes the texts first. By
default two languages of the shared corpora: English, trained on LibriSpeech readers and tested on kathleen; Dutch,
trained on flemishguy and tested on nathalie. A sentence of the test is never in the training, also where Whisper wrote
it a little differently. The recogniser is one convolution over five frames, 128 channels, and a linear layer, trained
with CTC (Graves et al. 2006); its character error says how plainly the features show the sounds, not how good a
recogniser could be made of them.

The bar: the shipped encoder's error is at most .05 above that of the encoder that it learned from, which knows English
alone, so the bar is for English. The exit code is 1 if it is missed or cannot be measured.
"""

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from benchmarks.bars import Bar, all_reached, plain_bars, show_bars
from benchmarks.content_peers import OURS, TEACHER, Peer, load_encoders
from benchmarks.content_texts import Utterance, read_utterances, without_sentences
from benchmarks.options import CORPORA, BenchmarkParser, work_folder, write_figures
from utils.command_line import run_program
from utils.console import emit, table
from utils.errors import DataError
from utils.evaluation.metrics import edit_distance

ENGLISH = ("English", "en")  # as in PAIRS, and as --language says it
ERROR_MARGIN = 0.05
PAIRS = {"English": ("librispeech", "kathleen"), "Dutch": ("flemishguy", "nathalie")}
HIDDEN = 128
PROBE_RATE = 50  # frames a second; features of 100 are taken in pairs
EPOCHS = 30
BATCH = 16
MAX_TEST_CLIPS = 100
log = logging.getLogger(__name__)


class Probe(nn.Module):
    """Convolution over five frames, then letters; the first output is CTC's blank."""

    def __init__(self, dim: int, num_letters: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(dim, HIDDEN, 5, padding=2)
        self.letters = nn.Linear(HIDDEN, num_letters + 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return log probabilities [B, F, 1 + letters] of features [B, F, D]."""
        hidden = functional.gelu(self.convolution(features.transpose(1, 2))).transpose(1, 2)
        return functional.log_softmax(self.letters(hidden), dim=-1)


def at_probe_rate(features: np.ndarray, rate: float) -> np.ndarray:
    """Join neighbours of [F, D] at 100 frames a second to [F/2, D] by their mean; slower features stay."""
    if rate <= PROBE_RATE:
        return features
    even = features[: len(features) // 2 * 2]
    return even.reshape(-1, 2, features.shape[1]).mean(axis=1)


def probe_error(peer: Peer, train: Sequence[Utterance], test: Sequence[Utterance], *, seed: int = 0) -> float:
    """Train the recogniser on an encoder's features; returns its character error on the test."""
    alphabet = sorted(set("".join(item.text for item in train)))
    number = {letter: index + 1 for index, letter in enumerate(alphabet)}
    features = [at_probe_rate(peer.encode(item.audio), peer.rate).astype(np.float32) for item in train]
    everything = np.concatenate(features)
    mean, deviation = everything.mean(axis=0), everything.std(axis=0) + 1e-6
    inputs = [torch.from_numpy((feature - mean) / deviation) for feature in features]
    targets = [torch.tensor([number[letter] for letter in item.text]) for item in train]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        probe = Probe(everything.shape[1], len(alphabet))
    fit(probe, inputs, targets, seed=seed)
    edits = length = 0
    for item in test:
        feature = at_probe_rate(peer.encode(item.audio), peer.rate).astype(np.float32)
        text = read(probe, torch.from_numpy((feature - mean) / deviation), alphabet)
        edits, length = edits + edit_distance(item.text, text), length + len(item.text)
    return edits / length


def fit(probe: Probe, inputs: Sequence[Tensor], targets: Sequence[Tensor], *, seed: int) -> None:
    """Train with CTC and AdamW under a falling learning rate."""
    optimizer = torch.optim.AdamW(probe.parameters(), 2e-3, weight_decay=0.01)
    steps = EPOCHS * -(-len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS):
        order = torch.randperm(len(inputs), generator=generator).tolist()
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            batch = nn.utils.rnn.pad_sequence([inputs[index] for index in chosen], batch_first=True)
            lengths = torch.tensor([len(inputs[index]) for index in chosen])
            wanted = torch.cat([targets[index] for index in chosen])
            sizes = torch.tensor([len(targets[index]) for index in chosen])
            loss = functional.ctc_loss(probe(batch).transpose(0, 1), wanted, lengths, sizes, zero_infinity=True)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def read(probe: Probe, features: Tensor, alphabet: Sequence[str]) -> str:
    """Return the best letter of each frame of [F, D], repeats and blanks left out."""
    best = torch.unique_consecutive(probe(features[None])[0].argmax(dim=1))
    return "".join(alphabet[index - 1] for index in best.tolist() if index)


def measure(
    pairs: Mapping[str, tuple[Path, Path]], peers: Mapping[str, Peer], work: Path
) -> dict[str, dict[str, float]]:
    """Return language -> encoder -> character error."""
    results: dict[str, dict[str, float]] = {}
    for language, (train_folder, test_folder) in pairs.items():
        code = {"English": "en", "Dutch": "nl"}.get(language, language)
        test = read_utterances(test_folder, code, work)[:MAX_TEST_CLIPS]
        utterances = read_utterances(train_folder, code, work)
        train = without_sentences(utterances, test)
        if not train:
            raise DataError(f"{train_folder} has only sentences of {test_folder}; give --train others too")
        log.info(
            "%s: %d recordings to learn from, %d to read; %d with a sentence of the test are not learned from",
            language, len(train), len(test), len(utterances) - len(train),
        )  # fmt: skip
        results[language] = {}
        for name, peer in peers.items():
            results[language][name] = probe_error(peer, train, test)
            log.info("%s, %s: %.3f", language, name, results[language][name])
    return results


def bars(results: Mapping[str, Mapping[str, float]]) -> list[Bar]:
    """Return the bar of each English column."""
    found = []
    for language in (name for name in results if name in ENGLISH):
        errors = results[language]
        teacher = errors.get(TEACHER)
        limit = None if teacher is None else teacher + ERROR_MARGIN
        found.append(Bar(f"character error against the teacher's, {language}", errors[OURS], limit, False))
    return found


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("content_probe", __doc__)
    parser.add_argument("--train", type=Path, help="recordings to learn from (default: two languages, shared corpora)")
    parser.add_argument("--test", type=Path, help="recordings of other voices")
    parser.add_argument("--language", default="en", help="of --train and --test, for Whisper")
    parser.add_argument("--weights", default="content_builtin.safetensors", help="weights of the builtin encoder")
    parser.add_work()
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if the shipped encoder misses the bar of English."""
    options = parse(arguments)
    return run_program("content_probe", lambda: compare(options))


def compare(options: argparse.Namespace) -> int:
    """Measure all encoders, print the table; return the exit code."""
    if (options.train is None) != (options.test is None):
        raise DataError("--train and --test belong together; give both or neither")
    if options.train is None and not CORPORA.is_dir():
        raise DataError("the shared corpora are absent; give folders with --train and --test")
    pairs = {name: (CORPORA / train, CORPORA / test) for name, (train, test) in PAIRS.items()}
    if options.train is not None:
        pairs = {options.language: (options.train, options.test)}
    results = measure(pairs, load_encoders(options.weights), work_folder(options))
    names = list(next(iter(results.values())))
    rows = [[name, *(f"{column[name]:.3f}" for column in results.values())] for name in names]
    emit(table(rows, ["character error of the probe", *results]))
    reached = bars(results)
    if reached:
        emit()
        show_bars(reached)
    write_figures(options, "content_probe", {"errors": results, "bars": plain_bars(reached)})
    return 0 if not reached or all_reached(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
