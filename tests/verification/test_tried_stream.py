"""A stream whose blocks are run where its graph is gives what blocks of their own give."""

from collections.abc import Mapping

import numpy as np
import pytest

from tests.tools.streaming_tools import RATE
from utils.errors import FormatError
from utils.export.graph_kinds import ExportedGraph
from utils.verification.candidate import Candidate, Extent
from utils.verification.graph_process import GraphStoppedError, Limits, RemoteSession
from utils.verification.signals import speech_like
from utils.verification.stream_rules import check_endurance
from utils.verification.tried_stream import TimedBlocks, TriedStream
from utils.voice_file.runtime import RUNTIME_ERRORS
from utils.voice_file.signature import AUDIO_INPUT, AUDIO_OUTPUT, NEXT_STATE_OUTPUT, STATE_INPUT
from utils.voice_file.stream import BlockStream

pytestmark = pytest.mark.slow  # makes and tries a whole graph

NAMES = {"inputs": (AUDIO_INPUT, STATE_INPUT), "outputs": (AUDIO_OUTPUT, NEXT_STATE_OUTPUT)}


@pytest.fixture(scope="module")
def candidate(small_stream: ExportedGraph) -> Candidate:
    return Candidate(path=small_stream.path, extent=Extent(minutes=0, num_blocks=7, listens=False))


@pytest.mark.parametrize("controls", [{}, {"pitch_shift": 3.0, "loudness_mix": 0.4}], ids=["plain", "controls"])
def test_many_blocks_at_once_are_bit_for_bit_those_one_by_one(candidate: Candidate, controls: dict[str, float]) -> None:
    at_once, apart = candidate.new_stream(), candidate.new_stream()
    block = at_once.facts.block
    pieces = np.split(speech_like(RATE, 12 * block, 3), [5 * block])

    for piece in pieces:  # the second goes on with the state that the first has left
        made = at_once.process_blocks(piece, controls)
        expected = BlockStream.process_blocks(apart, piece, controls)

        np.testing.assert_array_equal(made, expected)
        np.testing.assert_array_equal(at_once.state, apart.state)


def test_no_block_is_no_sound_and_changes_no_state(candidate: Candidate) -> None:
    stream = candidate.new_stream()

    made = stream.process_timed(np.zeros(0, np.float32))

    assert (made.samples.size, made.seconds) == (0, [])
    assert not stream.state.any()


def test_every_block_has_its_time(candidate: Candidate) -> None:
    stream = candidate.new_stream()

    made = stream.process_timed(np.zeros(6 * stream.facts.block, np.float32))

    assert len(made.samples) == 6 * stream.facts.block
    assert len(made.seconds) == 6 and min(made.seconds) > 0


def test_endurance_tries_as_many_blocks_as_it_says(candidate: Candidate) -> None:
    check = check_endurance(candidate)

    assert check.passed, check.detail
    assert check.detail.startswith("7 blocks: ")


def test_a_run_over_blocks_that_fails_is_one_line_and_others_go_on(candidate: Candidate) -> None:
    stream = candidate.new_stream()
    feed = {AUDIO_INPUT: np.zeros((1, 4 * stream.facts.block), np.float32), STATE_INPUT: stream.state}

    with pytest.raises((FormatError, *RUNTIME_ERRORS), match=AUDIO_INPUT):
        candidate.session.run_blocks(feed, 2 * stream.facts.block, **NAMES)

    assert stream.process(np.zeros(stream.facts.block, np.float32)).shape == (stream.facts.block,)


def test_blocks_that_take_too_long_end_the_graph(candidate: Candidate) -> None:
    session = RemoteSession(candidate.path, Limits(run_seconds=0.3, per_second=0.0))
    facts = candidate.new_stream().facts
    feed = {
        AUDIO_INPUT: np.zeros((1, 20_000 * facts.block), np.float32),
        STATE_INPUT: np.zeros((1, facts.state_size), np.float32),
    }

    with pytest.raises(GraphStoppedError, match="a run did not end within"):
        session.run_blocks(feed, facts.block, **NAMES)
    with pytest.raises(GraphStoppedError, match="not run again"):
        session.run_blocks(feed, facts.block, **NAMES)
    session.close()


@pytest.mark.parametrize("is_busy", [True, False], ids=["the stream itself", "other work on the machine"])
def test_only_a_stream_that_takes_more_of_a_processor_becomes_slower(
    is_busy: bool, candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed, done = TriedStream.process_timed, [0]

    def slowing(self: TriedStream, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> TimedBlocks:
        made = timed(self, audio, controls)
        done[0] += len(made.seconds)
        growing = [1e-3 * 2.0**number for number in range(done[0] - len(made.seconds), done[0])]
        return TimedBlocks(made.samples, growing, growing if is_busy else [1e-3] * len(growing))

    monkeypatch.setattr(TriedStream, "process_timed", slowing)

    check = check_endurance(candidate)

    assert check.passed != is_busy
    assert ("times as long in the end" in check.detail) == is_busy
