"""What cover.py does."""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.audio.decoder_process import read_tags
from utils.audio.writing import sound_format
from utils.config.cover import CoverJob, Effects
from utils.covers.effects import check_effects, with_effects
from utils.covers.parts import Facts, Part, PartFolder
from utils.covers.separating import separate
from utils.covers.stereo import (
    as_loud,
    gained,
    loudness,
    loudness_package,
    rate_of,
    read_stereo,
    together,
    write_stereo,
)
from utils.errors import DataError, FormatError
from utils.files import atomic_write_json, check_new_file, sha256_of_file
from utils.inference.conversion import VoiceConversionPipeline
from utils.inference.file_conversion import write_sounds
from utils.inference.opening import graph_of
from utils.inference.options import ConversionKeywords
from utils.inference.source import ArraySound
from utils.voice_file.names import parse_file_name

UNLIMITED_DB = 60.0  # of a part: the mix is limited


class Stems(NamedTuple):
    """What a song consists of; `backing` is None where the vocals are one voice."""

    lead: Part
    backing: Part | None
    instrumental: Part


def run_cover(job: CoverJob, announce: Callable[[str], None]) -> None:
    """Convert the vocals of a song, mix them with the rest, and write the result and its figures.

    Args:
        job: what to do.
        announce: is given one line for each step.
    Raises:
        ConfigError: if a setting does not fit, or a package or program is not installed.
        FormatError: if the voice cannot be opened.
        DataError: if a sound cannot be read or written, or the separator fails.
    """
    check_inputs(job)
    cover = Cover(job, announce)
    stems = cover.stems()
    mix = cover.mix(stems)
    cover.write(mix)
    shift, facts = mix.facts["pitch_shift"], mix.facts
    moved = "" if not shift else f", pitch {shift:+g} semitones"
    announce(
        f"sung by {cover.name}{moved}, {_lufs(facts['lufs'])} (the song: {_lufs(facts['target_lufs'])}), "
        f"peak {facts['peak_db']:.1f} dB: {cover.output}"
    )


def inputs_of(job: CoverJob) -> dict[str, Path]:
    """Return the sound files that are given, by their keys."""
    paths = {name: getattr(job, name) for name in ("vocals", "instrumental", "backing", "song")}
    return {name: path for name, path in paths.items() if path is not None}


def check_inputs(job: CoverJob) -> None:
    """Refuse what cannot be done, before the work.

    Raises:
        ConfigError: if a package is not installed.
        DataError: if a file is missing.
    """
    for name, path in inputs_of(job).items():
        if not path.is_file():
            raise DataError(f"{name}={path} does not exist; give a sound file")
    check_effects(job.effects)
    loudness_package()


class Cover:
    """The steps of a cover; each is made once for all that it depends on.

    Args:
        job: what to do.
        announce: is given one line for each step.
    Attributes:
        name: of the voice.
        output: where the result goes.
    Raises:
        ConfigError: if the result cannot be written there.
        FormatError: if there is no such voice.
    """

    def __init__(self, job: CoverJob, announce: Callable[[str], None]) -> None:
        assert job.voice is not None
        self._job = job
        self._sources: dict[Path, Part] = {}
        self._graph = graph_of(job.voice)
        self.name = _voice_name(self._graph)
        song = job.song or job.vocals
        assert song is not None
        self.output = job.output or Path("covers") / song.stem / f"{self.name}.wav"
        sound_format(None, self.output)
        check_new_file(self.output, "output", [self._graph, *inputs_of(job).values()])
        self._parts = PartFolder(self.output.parent / "parts", announce)

    @cached_property
    def _pipeline(self) -> VoiceConversionPipeline:
        """The voice, opened where something is converted, and its settings checked."""
        pipeline = VoiceConversionPipeline(self._graph, num_threads=self._job.threads)
        pipeline.check_options(**self._keywords)
        return pipeline

    @property
    def _keywords(self) -> ConversionKeywords:
        job = self._job
        return {
            "pitch_shift_semitones": job.pitch_shift, "speaker": job.speaker, "index_rate": job.index_rate,
            "protect": job.protect, "loudness_mix": job.loudness_mix, "formant_shift_semitones": job.formant_shift,
            "output_sample_rate": self._rate,
        }  # fmt: skip

    @cached_property
    def _rate(self) -> int:
        """Samples per second of everything that is mixed."""
        job = self._job
        song = job.instrumental or job.song
        assert song is not None
        return rate_of(song)

    def stems(self) -> Stems:
        """Return the parts of the song, taken apart where that is asked for."""
        job = self._job
        if job.vocals is not None and job.instrumental is not None:
            vocals, instrumental = self._given(job.vocals), self._given(job.instrumental)
        else:
            assert job.song is not None
            vocals, instrumental = self._separated("separator", self._given(job.song), ("vocals", "instrumental"))
        if job.lead_separator.command is not None:
            lead, backing = self._separated("lead_separator", vocals, ("lead", "backing"))
            return Stems(lead, backing, instrumental)
        return Stems(vocals, self._given(job.backing) if job.backing else None, instrumental)

    def mix(self, stems: Stems) -> Part:
        """Return the finished song."""
        job, target = self._job, self._song_loudness(stems)
        lead = self._sung("lead", stems.lead, job.effects)
        backing = stems.backing
        if backing is not None and job.convert_backing:
            backing = self._sung("backing", backing, Effects())
        gains = {
            "lead": (lead, job.vocals_gain_db),
            "backing": (backing, job.backing_gain_db),
            "instrumental": (stems.instrumental, job.instrumental_gain_db),
        }
        present = {name: (part, gain) for name, (part, gain) in gains.items() if part is not None}
        depends_on: dict[str, Any] = {name: [part.key, gain] for name, (part, gain) in present.items()}
        depends_on |= {"rate": self._rate, "lufs": target, "peak_db": job.peak_db}

        def make(path: Path) -> Facts:
            mixed = together([gained(read_stereo(part.path, self._rate), gain) for part, gain in present.values()])
            made = as_loud(mixed, self._rate, target, float(job.peak_db))
            write_stereo(path, made, self._rate)
            peak = float(np.abs(made).max(initial=1e-6))
            return {
                "lufs": loudness(made, self._rate), "target_lufs": target, "peak_db": 20 * float(np.log10(peak)),
                "pitch_shift": lead.facts["pitch_shift"],
            }  # fmt: skip

        return self._parts.sound("mix", depends_on, make)

    def write(self, mix: Part) -> None:
        """Write the finished song in the format that was asked for, with the tags of the song, and its figures."""
        job, audio = self._job, read_stereo(mix.path, self._rate)
        kind = sound_format(None, self.output)
        rate = kind.rate_for(self._rate)
        write_sounds(
            [ArraySound(np.ascontiguousarray(channel)) for channel in audio.T], self.output, kind,
            from_rate=self._rate, rate=rate, length=round(len(audio) * rate / self._rate),
            tags=read_tags(job.song) if job.song is not None else {},
        )  # fmt: skip
        figures = {"figures": dict(mix.facts), "settings": job.model_dump(mode="json")}
        atomic_write_json(self.output.with_name(f"{self.output.stem}.cover.json"), figures)

    def _separated(self, key: str, song: Part, names: tuple[str, str]) -> list[Part]:
        settings = getattr(self._job, key)

        def make(paths: Any) -> list[Facts]:
            _ = self._pipeline  # before minutes of work: does the voice have what is asked of it?
            made = separate(settings, song.path, key)
            for path, audio in zip(paths, (made.vocals, made.rest), strict=True):
                write_stereo(path, audio, made.sample_rate)
            return [{}, {}]

        return self._parts.sounds(names, {"song": song.key, "settings": settings.model_dump(mode="json")}, make)

    def _sung(self, name: str, part: Part, effects: Effects) -> Part:
        """Return a voice of the song as the other voice sings it, with effects, as loud as it was."""
        converted = self._converted(name, part)
        target = self._loudness(name, {name: part})
        chosen = effects.model_dump(mode="json")
        depends_on = {"of": converted.key, "effects": chosen, "lufs": target, "rate": self._rate}

        def make(path: Path) -> Facts:
            audio = read_stereo(converted.path, self._rate)
            level = as_loud(audio, self._rate, target, peak_db=UNLIMITED_DB)
            finished = with_effects(level, self._rate, effects)
            if finished is not level:
                finished = as_loud(finished, self._rate, target, peak_db=UNLIMITED_DB)
            write_stereo(path, finished, self._rate)
            return dict(converted.facts)

        return self._parts.sound(f"{name}_finished", depends_on, make)

    def _converted(self, name: str, part: Part) -> Part:
        depends_on = {"of": part.key, "voice": self._voice_key, **self._keywords}

        def make(path: Path) -> Facts:
            made = self._pipeline.convert_file(
                part.path, path, output_format="wav32f", keeps_tags=False, **self._keywords
            )
            return {"pitch_shift": made.controls.get("pitch_shift", 0.0)}

        return self._parts.sound(f"{name}_converted", depends_on, make)

    def _given(self, path: Path) -> Part:
        if path not in self._sources:
            self._sources[path] = Part(path, sha256_of_file(path), {})
        return self._sources[path]

    @cached_property
    def _voice_key(self) -> str:
        return sha256_of_file(self._graph)

    def _song_loudness(self, stems: Stems) -> float | None:
        """Return the loudness of the song, or of its parts together."""
        if self._job.song is not None:
            return self._loudness("song", {"song": self._given(self._job.song)})
        return self._loudness("song", {name: part for name, part in stems._asdict().items() if part is not None})

    def _loudness(self, name: str, parts: Mapping[str, Part]) -> float | None:
        keys = {key: part.key for key, part in parts.items()}

        def measure() -> float | None:
            sounds = [read_stereo(part.path, self._rate) for part in parts.values()]
            return loudness(together(sounds), self._rate)

        return self._parts.figure(f"{name}_loudness", {"parts": keys, "rate": self._rate}, measure)


def _voice_name(graph: Path) -> str:
    try:
        return parse_file_name(graph).name
    except FormatError:  # a graph of another program
        return graph.stem


def _lufs(value: float | None) -> str:
    return "silent" if value is None else f"{value:.1f} LUFS"
