"""Sound files of many formats, and ways to damage them, for benchmarks.fuzz_audio."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile

from utils.audio.synthetic_speech import voice

SECONDS = 1.5
HEADER_BYTES = 160
AMR_HEAD, AMR_FRAME, AMR_MODE = b"#!AMR\n", 13, 4  # bytes of a frame at the lowest bit rate, and the first of each
ABSURD = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
SNDFILE_FORMATS = {
    "wav": ("WAV", "PCM_16", 16000, 1),
    "wav24": ("WAV", "PCM_24", 48000, 2),
    "wavfloat": ("WAV", "FLOAT", 44100, 2),
    "aiff": ("AIFF", "PCM_16", 44100, 1),
    "caf": ("CAF", "PCM_16", 48000, 1),
    "flac": ("FLAC", "PCM_16", 48000, 2),
    "mp3": ("MP3", "MPEG_LAYER_III", 44100, 2),
    "ogg": ("OGG", "VORBIS", 44100, 1),
    "opus": ("OGG", "OPUS", 48000, 1),
}
PHONE_FORMATS = {"m4a": ("aac", 44100), "webm": ("libopus", 48000), "amr": ("libopencore_amrnb", 8000)}
# What makes decoders read elsewhere or wait for ever, each with the place of another file
SCRIPTS = (
    "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:5.0,\n{path}\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:5.0,\nfile://{path}\n#EXT-X-ENDLIST\n",
    "ffconcat version 1.0\nfile '{path}'\n",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    '<AdaptationSet mimeType="audio/mp4">'
    '<Representation id="1"><BaseURL>file://{path}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "[playlist]\nFile1={path}\nNumberOfEntries=1\n",
    "[Reference]\nRef1=http://127.0.0.1:9/x.asf\n",
    '<smil><body><audio src="{path}"/></body></smil>',
    ";FFMETADATA1\ntitle=x\n",
)


@dataclass(frozen=True)
class Sample:
    """A sound file: its kind, the ending of its name, its bytes, and what it holds."""

    kind: str
    suffix: str
    data: bytes
    sample_rate: int
    seconds: float
    place: Path


def make_samples(folder: Path) -> list[Sample]:
    """Write one file of each format into a new folder."""
    folder.mkdir()
    samples = []
    for kind, (container, subtype, rate, channels) in SNDFILE_FORMATS.items():
        path = folder / f"x.{kind}"
        sound = np.stack([voice(SECONDS, rate, seed=channel) for channel in range(channels)], axis=1)
        soundfile.write(path, sound, rate, format=container, subtype=subtype)
        suffix = {"wav24": ".wav", "wavfloat": ".wav"}.get(kind, f".{kind}")
        samples.append(Sample(kind, suffix, path.read_bytes(), rate, SECONDS, path))
    for kind, (codec, rate) in PHONE_FORMATS.items():
        path = folder / f"x.{kind}"
        encode(path, voice(SECONDS, rate), rate, codec)
        samples.append(Sample(kind, f".{kind}", path.read_bytes(), rate, SECONDS, path))
    return samples


def encode(path: Path, audio: np.ndarray, sample_rate: int, codec: str) -> None:
    """Encode audio [T] float32 by FFmpeg; the name's ending chooses the container."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=sample_rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        converter = av.AudioResampler(stream.codec_context.format.name, "mono", sample_rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio[None]), format="fltp", layout="mono")
        frame.sample_rate = sample_rate
        for part in [*converter.resample(frame), *converter.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def damage(sample: Sample, rng: np.random.Generator) -> tuple[bytes, str]:
    """Return the bytes of a damaged file, and in words how."""
    ways: tuple[Callable[[Sample, np.random.Generator], tuple[bytes, str]], ...] = (
        _cut, _flip_in_header, _flip_in_header, _flip_anywhere, _absurd_field, _absurd_field, _absurd_field,
        _without_a_part, _with_a_part, _behind_another, _script,
    )  # fmt: skip
    data, how = ways[int(rng.integers(len(ways)))](sample, rng)
    return (data[:-1], f"{how}, and one less") if _is_shorter_and_whole(sample, data) else (data, how)


def _is_shorter_and_whole(sample: Sample, data: bytes) -> bool:
    """Whether only whole frames are gone of a format that says nowhere how many there are: no program can tell that."""
    frames = data[len(AMR_HEAD) :]
    is_amr = sample.kind == "amr" and data.startswith(AMR_HEAD) and len(data) < len(sample.data)
    return is_amr and len(frames) % AMR_FRAME == 0 and set(frames[::AMR_FRAME]) <= {AMR_MODE}


def _cut(sample: Sample, rng: np.random.Generator) -> tuple[bytes, str]:
    length = int(rng.integers(len(sample.data)))
    return sample.data[:length], f"cut after {length} bytes"


def _flip_in_header(sample: Sample, rng: np.random.Generator) -> tuple[bytes, str]:
    return _flip(sample.data, int(rng.integers(min(HEADER_BYTES, len(sample.data)))), int(rng.integers(8)))


def _flip_anywhere(sample: Sample, rng: np.random.Generator) -> tuple[bytes, str]:
    return _flip(sample.data, int(rng.integers(len(sample.data))), int(rng.integers(8)))


def _flip(data: bytes, position: int, bit: int) -> tuple[bytes, str]:
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed), f"bit {bit} of byte {position} flipped"


def _absurd_field(sample: Sample, rng: np.random.Generator) -> tuple[bytes, str]:
    size, order = int(rng.choice([1, 2, 4, 8])), str(rng.choice(["<", ">"]))
    position = int(rng.integers(min(HEADER_BYTES, len(sample.data) - 8)))
    value = int(rng.choice(ABSURD)) & (256**size - 1)
    field = struct.pack(order + {1: "B", 2: "H", 4: "I", 8: "Q"}[size], value)
    return sample.data[:position] + field + sample.data[position + size :], f"{value} in {size} bytes at {position}"


def _without_a_part(sample: Sample, rng: np.random.Generator) -> tuple[bytes, str]:
    first = int(rng.integers(len(sample.data)))
    length = int(rng.integers(1, 2000))
    return sample.data[:first] + sample.data[first + length :], f"{length} bytes at {first} left out"


def _with_a_part(sample: Sample, rng: np.random.Generator) -> tuple[bytes, str]:
    first, length = int(rng.integers(min(2 * HEADER_BYTES, len(sample.data)))), int(rng.integers(1, 2000))
    return sample.data[:first] + rng.bytes(length) + sample.data[first:], f"{length} bytes put in at {first}"


def _behind_another(sample: Sample, rng: np.random.Generator) -> tuple[bytes, str]:
    heads = (
        b"RIFF",
        b"fLaC",
        b"OggS",
        b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f",
        b"FORM",
        b"caff",
        b"#!AMR\n",
        b"\x00\x00\x00\x18ftypM4A ",
    )
    head = heads[int(rng.integers(len(heads)))]
    return head + sample.data[int(rng.integers(64)) :], f"the head of another: {head!r}"


def _script(sample: Sample, rng: np.random.Generator) -> tuple[bytes, str]:
    number = int(rng.integers(len(SCRIPTS)))
    return SCRIPTS[number].format(path=sample.place).encode(), f"script {number}"
