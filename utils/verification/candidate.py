"""The graph under test, and the programs that use it."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from utils.errors import FormatError
from utils.verification.graph_process import USUAL_LIMITS, Limits, RemoteSession
from utils.verification.live_host import NAME_DEFAULTS, LiveHost, numbers_in_name
from utils.verification.rvc_client import RvcClient, rvc_graph_of
from utils.verification.signals import speech_like
from utils.verification.tried_stream import TriedStream
from utils.verification.voices import Voice
from utils.voice_file.control_inputs import CONTROL_VALUES, asks_for_controls, default_feed, settable_controls
from utils.voice_file.controls import ALL_CONTROLS, CONTROLS, Control, control_arrays
from utils.voice_file.geometry import HIGHEST_RATE, LOWEST_RATE
from utils.voice_file.kinds import AUDIO_TO_AUDIO, STREAM, is_stream, require_audio
from utils.voice_file.metadata import VoiceMetadata
from utils.voice_file.runtime import stored_metadata
from utils.voice_file.rvc_formats import RvcGraph


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How long the rules take.

    Attributes:
        minutes: length of the long recording; 0 leaves it out.
        num_blocks: blocks of 100 ms over which memory must not grow; 0 leaves it out.
        limits: how much time a run of the graph may take.
        listens: whether the rules that listen to speech are tried; a graph that is no voice keeps none of them.
    """

    minutes: float = 10.0
    num_blocks: int = 1000
    limits: Limits = USUAL_LIMITS
    listens: bool = True


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The graph under test.

    Attributes:
        path: the file.
        extent: how long the rules take.
        expected_generator: what the file must be as an RVC generator; None: what it says of itself.
    """

    path: Path
    extent: Extent = Extent()
    expected_generator: RvcGraph | None = None

    @cached_property
    def session(self) -> RemoteSession:
        """The graph, in a process of its own, loaded from memory as by hosts that cannot follow weights elsewhere."""
        return RemoteSession(self.path, self.extent.limits)

    @cached_property
    def again(self) -> "Candidate":
        """The graph loaded a second time, in another process."""
        return replace(self)

    @cached_property
    def metadata(self) -> VoiceMetadata | None:
        """What this workbench wrote into the graph; None for graphs of others."""
        with contextlib.suppress(FormatError):  # the rule about the name reports it
            return stored_metadata(self.session, self.path.name)
        return None

    @cached_property
    def generator(self) -> RvcGraph | None:
        """What the graph is as an RVC generator; None for one that takes audio or cannot be loaded."""
        if self.expected_generator is not None:
            return self.expected_generator
        with contextlib.suppress(FormatError):
            return rvc_graph_of(self.session)
        return None

    @cached_property
    def kind(self) -> str:
        """Which programs load it: "audio_to_audio", "stream" or the name of a format of RVC generators.

        Raises:
            FormatError: if it is neither a voice nor a generator.
        """
        if self.generator is not None:
            return self.generator.rvc_format.name
        require_audio(self.session, str(self.path))
        return STREAM if self.is_stream else AUDIO_TO_AUDIO

    @property
    def is_stream(self) -> bool:
        """Whether the graph converts block by block."""
        return is_stream(self.path, self.metadata)

    @cached_property
    def host(self) -> LiveHost:
        """The re-enacted live host."""
        return LiveHost(self.session, default_feed(self.session, self.metadata))

    @cached_property
    def client(self) -> RvcClient:
        """The re-enacted program that feeds an RVC generator."""
        assert self.generator is not None
        return RvcClient(self.session, self.generator)

    def new_stream(self) -> TriedStream:
        """Return a stream that has been given nothing yet.

        Raises:
            FormatError: if the graph is no streaming graph or does not keep what its metadata says.
        """
        metadata = stored_metadata(self.session, self.path.name)
        return TriedStream(self.session, metadata, self.path.name)

    def close(self) -> None:
        """Let the process of the graph go, for the next one."""
        if "again" in self.__dict__:
            self.again.close()
        if "session" in self.__dict__:
            self.session.close()

    @cached_property
    def controls(self) -> set[str]:
        """Names of the inputs beside audio and state that a host may set."""
        return {value.name for value in settable_controls(self.session, self.metadata)}

    @property
    def asks_for_controls(self) -> bool:
        """Whether the file states that every run must be given the controls."""
        return asks_for_controls(self.metadata)

    @property
    def known_controls(self) -> list[Control]:
        """The controls that a graph of this workbench has."""
        return [control for control in ALL_CONTROLS if control.name in self.controls]

    @property
    def lacks_controls(self) -> list[str]:
        """Which controls of this workbench's graphs are absent or no scalars of their type."""
        found = settable_controls(self.session, self.metadata)
        return [item.name for item in CONTROLS if CONTROL_VALUES[item.name] not in found]

    @property
    def needs_context(self) -> bool:
        """Whether the voice's architecture is meant to be given sound around what is wanted."""
        return self.metadata is not None and self.metadata.extra.get("needs_context") is True

    @cached_property
    def sample_rate(self) -> int:
        """Rate of input and output: from the metadata, else as the live host reads it from the file name."""
        if self.metadata is not None:
            return self.metadata.sample_rate
        rate = numbers_in_name(self.path)["sr"]
        return round(rate if LOWEST_RATE <= rate <= HIGHEST_RATE else NAME_DEFAULTS["sr"])

    def run(self, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        """Return the first output for [B, T] float32 given to the first input, and controls if it has them.

        Raises:
            FormatError: if the output is no array of numbers.
        """
        first = self.session.get_outputs()[0]
        defaults = default_feed(self.session, self.metadata)
        feed = {self.session.get_inputs()[0].name: audio} | defaults | control_arrays(self.present(controls))
        output: np.ndarray = self.session.run([first.name], feed)[0]
        if not isinstance(output, np.ndarray) or output.dtype.kind not in "fiu":
            raise FormatError(f"its first output {first.name} is {first.type}, no audio")
        return output

    def present(self, controls: Mapping[str, float] | None) -> dict[str, float]:
        """Return the values of those controls that the graph has."""
        return {name: value for name, value in (controls or {}).items() if name in self.controls}

    def convert(self, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        """Return [T] for [T] in one piece; a stream is given its blocks from a fresh start."""
        if self.is_stream:
            return self.new_stream().process_blocks(audio, self.present(controls))
        made: np.ndarray = self.run(audio[None], controls)[0]
        return made

    @cached_property
    def voice(self) -> Voice:
        """The graph as a voice that speaks."""
        facts = self.new_stream().facts if self.is_stream else None
        return Voice(
            sample_rate=self.sample_rate,
            convert=self.convert,
            controls=frozenset(self.controls),
            block=facts.block if facts else 1,
            look_ahead=facts.look_ahead if facts else 0,
            metadata=self.metadata,
        )

    def speech(self, seconds: float, seed: int) -> np.ndarray:
        """Return [T] of synthetic speech; for a stream whole blocks, at least two."""
        if not self.is_stream:
            return speech_like(self.sample_rate, round(seconds * self.sample_rate), seed)
        block = self.new_stream().facts.block
        count = max(2, round(seconds * self.sample_rate) // block)
        return speech_like(self.sample_rate, count * block, seed)
