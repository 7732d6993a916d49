"""Convert recordings of any length, rate and number of channels with an exported voice."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from utils.audio.decoding import SOUND_SUFFIXES, is_sound_by_content
from utils.audio.io import open_wav
from utils.audio.writing import WRITTEN_SUFFIXES
from utils.errors import ConfigError, DataError, FormatError
from utils.files import files_below
from utils.inference.levelling import filling, mean_power
from utils.inference.session import ControlValues
from utils.inference.source import ArraySound, Sound

SEGMENT_SECONDS = 30.0  # of a piece, at most
LONG_SECONDS, LONG_SEGMENT_SECONDS = 300.0, 15.0  # and much longer ones in shorter pieces
SEARCH_SHARE = 1 / 3  # of a piece, at its end: the cut is the quietest place there
CONTEXT_SECONDS = 3.0  # sound that each piece also sees before and after itself, at least
# A piece begins on this grid. The noise of our voices' sources comes from a table of 4 s, which begins with the audio:
# so every piece hears the noise that the whole recording would have there. Their phases begin anew at each onset.
GRID_SECONDS = 4.0
FADE_SECONDS = 0.01
QUIET_SECONDS = 0.1  # how long it must be quiet around a cut


class Converter(Protocol):
    """A voice that converts audio in one piece, such as a VoiceSession."""

    sample_rate: int
    whole_seconds: float

    def run(self, audio: np.ndarray, controls: ControlValues | None = None) -> np.ndarray:
        """Convert [T] float32 at the rate; returns [T]."""
        ...


def convert(session: Converter, audio: np.ndarray, controls: ControlValues | None = None) -> np.ndarray:
    """Convert [T] float32 as converted_blocks does; returns [T], of what is not cut whatever the graph makes of it."""
    return np.concatenate(list(converted_blocks(session, ArraySound(audio), controls)))


def converted_blocks(session: Converter, source: Sound, controls: ControlValues | None = None) -> Iterator[np.ndarray]:
    """Convert audio of any length and yield the result, block after block, in bounded memory.

    Up to `whole_seconds` go through the graph at once. Longer audio is cut at quiet places, after 30 s at most, of more
    than five minutes after 15 s. The pieces overlap, see piece_bounds; the overlaps are thrown away but for a short
    fade.

    Raises:
        FormatError: if the graph fails, or gives a piece of longer audio another length.
    """
    rate, total = session.sample_rate, len(source)
    if total <= round(session.whole_seconds * rate):
        yield session.run(source.read(0, total), controls)
        return
    fade = round(FADE_SECONDS * rate)
    begun = np.zeros(0, dtype=np.float32)  # what the piece before gave of this one
    power = mean_power(source, rate)
    for start, end in segments(source, rate):
        low, high = piece_bounds(start, end, total, rate)
        piece = _converted_piece(session, source.read(low, high), controls, power=power, is_first=low == 0)
        first, last = max(0, start - fade), min(total, end + fade)
        block = piece[first - low : last - low] * fade_weight(first, last, start, end, fade=fade, total=total)
        block[: len(begun)] += begun
        final = total if end == total else end - fade
        yield block[: final - first]
        begun = block[final - first :]


def _converted_piece(
    session: Converter, audio: np.ndarray, controls: ControlValues | None, *, power: float, is_first: bool
) -> np.ndarray:
    """Return a piece [T] of a recording, converted as it would be within all of it.

    Args:
        session: the voice.
        audio: [T].
        controls: values of the graph's optional inputs.
        power: mean square of the recording.
        is_first: whether the recording begins with it: nothing may come before it then.
    """
    room = round(session.whole_seconds * session.sample_rate) - len(audio)
    filled = filling(audio, power, session.sample_rate, room)
    given = np.concatenate([audio, filled[::-1]] if is_first else [filled, audio]) if len(filled) else audio
    made = session.run(given, controls)
    if len(made) != len(given):
        raise FormatError(f"the graph made {len(made)} samples of a piece of {len(given)}")
    return made[: len(audio)] if is_first else made[len(filled) :]


def piece_bounds(start: int, end: int, total: int, sample_rate: int) -> tuple[int, int]:
    """Return what of [0, total) is converted for the sake of [start, end): context around it, from the grid on."""
    context, grid = round(CONTEXT_SECONDS * sample_rate), round(GRID_SECONDS * sample_rate)
    return max(0, start - context) // grid * grid, min(total, end + context)


def segments(source: Sound, sample_rate: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of pieces of at most 30 s, or 15 s, that cover the audio, cut where it is quietest."""
    seconds = LONG_SEGMENT_SECONDS if len(source) > LONG_SECONDS * sample_rate else SEGMENT_SECONDS
    longest, search = round(seconds * sample_rate), round(SEARCH_SHARE * seconds * sample_rate)
    block = max(1, sample_rate // 50)
    around = np.ones(max(1, round(QUIET_SECONDS * sample_rate / block)))
    start = 0
    while len(source) - start > longest:
        region = source.read(start + longest - search, start + longest)
        energy = np.square(region[: len(region) // block * block].reshape(-1, block)).sum(axis=1)
        quiet = np.convolve(energy, around, mode="valid")
        first = int(np.argmin(quiet)) * block + len(around) * block // 2
        end = start + longest - search + first
        yield start, end
        start = end
    yield start, len(source)


def find_recordings(path: Path) -> list[Path]:
    """Return a file itself, or the sound files in a folder and below by their endings, sorted.

    Raises:
        DataError: if there is nothing.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"audio={path} does not exist; give a recording or a folder of recordings")
    found = sorted(item for item in files_below(path) if item.suffix.lower() in SOUND_SUFFIXES)
    if not found:
        raise DataError(f"audio={path} holds no sound file ({', '.join(sorted(SOUND_SUFFIXES)[:6])}, ...)")
    return found


def overlooked_recordings(path: Path) -> list[Path]:
    """Return what find_recordings leaves out of a folder although it is sound by its content, sorted."""
    others = (item for item in files_below(path) if item.suffix.lower() not in SOUND_SUFFIXES and item.is_file())
    return sorted(item for item in others if is_sound_by_content(item)) if path.is_dir() else []


def output_paths(sources: list[Path], audio: Path, output: Path, suffix: str = ".wav") -> dict[Path, Path]:
    """Decide where each converted file goes.

    Args:
        sources: the recordings.
        audio: the file or folder they come from.
        output: a sound file when `audio` is a file, else a folder, in which sub-folders are kept.
        suffix: of the files in a folder.
    Raises:
        ConfigError: if an output would overwrite a recording, or `output` is a sound file for a folder.
    """
    if audio.is_file():
        places = {audio: output if is_sound_file(output) else output / f"{audio.stem}{suffix}"}
    elif is_sound_file(output):
        raise ConfigError(f"output={output} is one file, but audio={audio} is a folder; give a folder")
    else:
        names = output_names([source.relative_to(audio) for source in sources], suffix)
        places = {source: output / name for source, name in zip(sources, names, strict=True)}
    originals = {source.resolve() for source in sources}
    for place in places.values():
        if place.resolve() in originals:
            raise ConfigError(f"output {place} would overwrite a recording; choose another output=")
    return places


def is_sound_file(output: Path) -> bool:
    """Whether the place of a result is the name of a sound file, not a folder."""
    return output.suffix.lower() in WRITTEN_SUFFIXES and not output.is_dir()


def output_names(sources: Sequence[Path], suffix: str = ".wav") -> list[Path]:
    """Return the name of each converted file, no two the same.

    The ending is replaced by the new one. Where that gives the same name twice, it follows the whole name: a.mp3 and
    a.wav of one folder become a.mp3.wav and a.wav.wav.

    Args:
        sources: names of the recordings, each relative to the folder that was given; no two the same.
        suffix: the new ending.
    """
    names = [source.with_suffix(suffix) for source in sources]
    while max(Counter(names).values(), default=0) > 1:
        uses = Counter(names)
        names = [
            source.with_name(f"{source.name}{suffix}") if uses[name] > 1 else name
            for name, source in zip(names, sources, strict=True)
        ]
    return names


def convert_file(
    session: Converter,
    source: Sound,
    output: Path,
    controls: ControlValues,
    listen: Callable[[np.ndarray], object] | None = None,
) -> int:
    """Convert a recording and write it as 16-bit WAV at the graph's rate, in bounded memory.

    Args:
        session: the voice.
        source: the recording at the rate of the graph.
        output: the file to write.
        controls: values of the graph's optional inputs.
        listen: is given each block of the result before clipping.
    Returns:
        The number of samples written.
    Raises:
        FormatError: if the graph fails or gives what is no sound; nothing is written then.
    """
    total = broken = 0
    with open_wav(output, session.sample_rate, len(source)) as write:
        for block in converted_blocks(session, source, controls):
            total += len(block)
            broken += int(np.count_nonzero(~np.isfinite(block)))
            if not broken:
                write(block)
                if listen is not None:
                    listen(block)
        if broken:
            raise FormatError(f"{broken} of {total} samples of the output are not finite; nothing was written")
    return total


def fade_weight(low: int, high: int, start: int, end: int, *, fade: int, total: int) -> np.ndarray:
    """Return the weight of [low, high) of a piece: 1 from start to end, crossing linearly with the neighbours."""
    position = np.arange(low, high, dtype=np.float32) + 0.5
    rise = np.ones_like(position) if start == 0 else np.clip((position - start) / (2 * fade) + 0.5, 0, 1)
    fall = np.ones_like(position) if end == total else np.clip((end - position) / (2 * fade) + 0.5, 0, 1)
    return rise * fall
