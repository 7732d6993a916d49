"""The rules of the doctor: one table for recordings and one for voices, each with its threshold and its remedy.

Thresholds were set on planted faults in real speech: benchmarks/doctor.py prints what they find.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from utils.doctor.facts import FileFacts, VoiceFacts
from utils.doctor.measures import SoundMeasures

MOST_DC = 0.01  # of full scale
MOST_CLIPPED = 0.003  # share of samples at the peak
LEAST_BACKGROUND_DB = 25.5
MUSIC_BACKGROUND_DB = 27.0
MOST_TONES, MOST_TONES_IN_A_ROOM = 3.5, 8.0  # a second
LEAST_DECAY_DB = 140.0  # a second; with 0.8 s of reverberation about 105, in a dry recording 170 or more
ROOM_BACKGROUND_DB = 17.0  # steady noise hides how the sound falls
HUM_DB, HUM_LEVEL_DB = 22.0, -45.0
FULL_BAND = 0.8  # of half the rate; codecs and converters cut a little below it
LEAST_SIMILARITY = 0.7
LEAST_VOICED = 0.12  # share of the clips; speech has about half
ENOUGH_MINUTES, THIN_MINUTES = 8.0, 2.0
MOST_LOUDNESS_SPREAD_DB = 6.0
LEAST_COVERAGE = 0.9  # of the sounds of speech
USUAL_F0_HZ = (60.0, 500.0)  # between these the base voice heard speech


@dataclass(frozen=True)
class Finding:
    """Something that a rule found.

    Attributes:
        rule: its name.
        subject: the recording or the speaker.
        words: what it is, with the figure.
        remedy: what to do.
        leave_out: whether the recording had better be left out.
    """

    rule: str
    subject: str
    words: str
    remedy: str
    leave_out: bool = False

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class SoundRule:
    """A rule about the sound of one recording; `find` returns what it found in words, or None."""

    name: str
    find: Callable[[SoundMeasures], str | None]
    remedy: str
    leave_out: bool = False


def has_music(sound: SoundMeasures) -> bool:
    """Whether tones stand still behind the speech; in a room those of a voice may, a little."""
    limit = MOST_TONES_IN_A_ROOM if sound.decay_db < LEAST_DECAY_DB else MOST_TONES
    return sound.tones > limit and sound.background_db < MUSIC_BACKGROUND_DB


def has_room(sound: SoundMeasures) -> bool:
    """Whether the sound falls as slowly as in a reverberant room."""
    return sound.decay_db < LEAST_DECAY_DB and sound.background_db >= ROOM_BACKGROUND_DB and not has_music(sound)


def _music(sound: SoundMeasures) -> str | None:
    return f"music behind ({sound.tones:.0f} steady tones a second)" if has_music(sound) else None


def _noise(sound: SoundMeasures) -> str | None:
    if sound.background_db >= LEAST_BACKGROUND_DB or has_music(sound):
        return None
    return f"noise, other voices or echo, {sound.background_db:.0f} dB below the speech"


def _room(sound: SoundMeasures) -> str | None:
    return f"perhaps a reverberant room (falls by {sound.decay_db:.0f} dB a second)" if has_room(sound) else None


def _clipping(sound: SoundMeasures) -> str | None:
    return f"clipped: {sound.clipped:.1%} of it at full level" if sound.clipped > MOST_CLIPPED else None


def _band(sound: SoundMeasures) -> str | None:
    if sound.bandwidth_hz >= FULL_BAND * sound.rate / 2:
        return None
    return f"nothing above {sound.bandwidth_hz / 1000:.1f} kHz, although the file has {sound.rate / 1000:g} kHz"


def _hum(sound: SoundMeasures) -> str | None:
    found = sound.hum_db > HUM_DB and sound.hum_level_db > HUM_LEVEL_DB
    return f"mains hum, {-sound.hum_level_db:.0f} dB below the speech" if found else None


def _dc(sound: SoundMeasures) -> str | None:
    return f"offset of {sound.dc:.3f} of full scale" if sound.dc > MOST_DC else None


SOUND_RULES = (
    SoundRule("noise", _noise, "record in a quiet room, nearer to the microphone; leave the worst out", True),
    SoundRule("music", _music, "use the recording without music, or separate the voice first", True),
    SoundRule("room", _room, "record nearer to the microphone, with curtains or clothes around", True),
    SoundRule("clipping", _clipping, "lower the input level by 10 dB and record again", True),
    SoundRule("bandwidth", _band, "take the original recording; the voice stays as dull as this"),
    SoundRule("hum", _hum, "move the microphone's cable away from the mains; preprocess.highpass_hz=80 helps"),
    SoundRule("offset", _dc, "nothing to do: preprocessing removes it"),
)


def find_in_file(file: FileFacts) -> list[Finding]:
    """Apply all rules to a recording."""
    found = []
    for rule in SOUND_RULES if file.sound is not None else ():
        words = rule.find(file.sound) if file.sound is not None else None
        if words is not None:
            found.append(Finding(rule.name, file.source, words, rule.remedy, rule.leave_out))
    if file.similarity is not None and file.similarity < LEAST_SIMILARITY:
        words = f"sounds like somebody else (similarity {file.similarity:.2f} to the other recordings)"
        found.append(Finding("speaker", file.source, words, "listen to it; leave it out if it is another voice", True))
    if file.copy_of is not None:
        words = f"the same sound as {file.copy_of}, or a part of it"
        found.append(Finding("copy", file.source, words, "leave one of both out", True))
    if file.voiced_seconds < LEAST_VOICED * file.used_seconds:
        words = f"whispered or no speech (pitch in {file.voiced_seconds / max(file.used_seconds, 0.01):.0%} of it)"
        found.append(Finding("whisper", file.source, words, "listen to it; leave it out if nobody speaks", True))
    return found


def find_in_voice(voice: VoiceFacts) -> list[Finding]:
    """Apply the rules about a voice as a whole."""
    found = []
    if voice.loudness_spread_db > MOST_LOUDNESS_SPREAD_DB:
        words = f"recordings differ in loudness by {voice.loudness_spread_db:.0f} dB"
        found.append(
            Finding("loudness", voice.name, words, "nothing to do for speech: each file is brought to one level")
        )
    if voice.coverage is not None and voice.coverage < LEAST_COVERAGE:
        words = f"only {voice.coverage:.0%} of the sounds of speech are among the recordings"
        remedy = "read varied sentences: the voice says best what was recorded"
        found.append(Finding("coverage", voice.name, words, remedy))
    low, high = USUAL_F0_HZ
    if voice.f0_hz and not low <= voice.f0_hz[0] <= voice.f0_hz[2] <= high:
        words = f"pitch from {voice.f0_hz[0]:.0f} to {voice.f0_hz[2]:.0f} Hz; speech has {low:.0f} to {high:.0f} Hz"
        found.append(Finding("pitch", voice.name, words, "train longer: the base voice heard little of that range"))
    return found


def verdict_of(voice: VoiceFacts) -> str:
    """Return "enough", "thin" or "not enough", by the minutes of speech."""
    if voice.minutes >= ENOUGH_MINUTES:
        return "enough"
    return "thin" if voice.minutes >= THIN_MINUTES else "not enough"
