"""A streaming graph as a host uses it."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.tools.streaming_tools import RATE
from utils.export.graph_kinds import ExportedGraph
from utils.inference.stream import StreamSession
from utils.verification.signals import speech_like
from utils.voice_file.controls import CONTROLS

pytestmark = pytest.mark.slow  # makes and tries whole graphs

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "tutorials" / "live.md"


@pytest.fixture(scope="module")
def exported(small_stream: ExportedGraph) -> ExportedGraph:
    return small_stream


def test_controls_take_effect_in_a_stream(exported: ExportedGraph) -> None:
    stream = StreamSession.open(exported.path)
    audio = speech_like(RATE, RATE, 2)
    plain = stream.convert(audio)

    assert len(plain) == len(audio)
    for control in ({"pitch_shift": 7.0}, {"speaker_id": 1}, {"index_rate": 1.0}, {"loudness_mix": 0.0}):
        assert not np.allclose(stream.convert(audio, control), plain, atol=1e-4), control
    guarded, bare = (stream.convert(audio, {"index_rate": 1.0, "protect": value}) for value in (0.0, 0.5))
    assert not np.allclose(guarded, bare, atol=1e-4)


def test_impossible_values_of_a_stream_count_as_what_is_documented(exported: ExportedGraph) -> None:
    stream = StreamSession.open(exported.path)
    audio = speech_like(RATE, RATE // 2, 2)
    plain = stream.convert(audio)

    for control in CONTROLS:
        if not control.is_integer:
            np.testing.assert_array_equal(stream.convert(audio, {control.name: np.nan}), plain)
            for given, counts in ((1e6, control.high), (np.inf, control.high), (-np.inf, control.low)):
                found, wanted = (stream.convert(audio, {control.name: value}) for value in (given, counts))
                np.testing.assert_array_equal(found, wanted)


def test_host_loop_of_the_documentation_runs(
    exported: ExportedGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import soundfile

    source = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)[0]
    audio = speech_like(RATE, RATE + 77, 3)
    soundfile.write(tmp_path / "song.wav", audio, RATE, subtype="FLOAT")
    name = re.search(r'InferenceSession\("(.*?)"', source)
    assert name is not None
    place = tmp_path / name.group(1)
    place.parent.mkdir(parents=True)
    place.write_bytes(exported.path.read_bytes())
    monkeypatch.chdir(tmp_path)

    exec(compile(source, "live.md", "exec"), {})

    converted, _ = soundfile.read(tmp_path / "streamed.wav", dtype="float32")
    expected = np.clip(StreamSession.open(exported.path).convert(audio), -1, 1)
    assert np.abs(converted - expected).max() < 1e-6
