"""Feeding a streaming graph block by block, for the rules that try it."""

import math
from collections.abc import Mapping

import numpy as np

from utils.verification.candidate import Candidate
from utils.voice_file.runtime import stored_metadata
from utils.voice_file.stream import BlockStream


def fresh_stream(candidate: Candidate) -> BlockStream:
    """Return a stream that has heard nothing.

    Raises:
        FormatError: if the graph is no streaming graph or does not keep what its metadata says.
    """
    return BlockStream(candidate.session, stored_metadata(candidate.session, candidate.path.name), candidate.path.name)


def whole_blocks(audio: np.ndarray, stream: BlockStream) -> np.ndarray:
    """Return [T] without what is left behind the last whole block."""
    return audio[: len(audio) // stream.facts.block * stream.facts.block]


def speech_blocks(candidate: Candidate, stream: BlockStream, seconds: float, seed: int) -> np.ndarray:
    """Return [T] of synthetic speech, about so long and at least two blocks."""
    shortest = 2 * stream.facts.block / candidate.sample_rate
    return whole_blocks(candidate.speech(max(seconds, shortest), seed), stream)


def num_samples(stream: BlockStream, seconds: float) -> int:
    """Return the samples of the whole blocks that hold this time."""
    return math.ceil(seconds * stream.sample_rate / stream.facts.block) * stream.facts.block


def in_blocks(stream: BlockStream, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
    """Return what comes out for [T] of whole blocks; the stream goes on from where it is."""
    return np.concatenate([stream.process(part, controls) for part in audio.reshape(-1, stream.facts.block)])
