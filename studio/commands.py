"""Command lines of the workbench's scripts: everything the studio does is one of them."""

import re
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from utils.console import pasted

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = {
    "preprocess.py": "preprocess", "train.py": "train", "export_onnx.py": "export", "test_model.py": "test_model",
    "report.py": "report",
}  # fmt: skip
SHORTEST_MINUTES = 0.01
COMPOSING = threading.Lock()  # Hydra has one configuration at a time


@dataclass(frozen=True)
class Problem:
    """What is wrong with a command line: the key that it is about, or "", and the line that says it."""

    key: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command line of a script.

    Attributes:
        script: file at the top of the project.
        overrides: key=value, as typed.
    """

    script: str
    overrides: tuple[str, ...]

    @property
    def text(self) -> str:
        """What a person pastes into a terminal."""
        return pasted("python", self.script, *self.overrides)

    @property
    def words(self) -> list[str]:
        """What a job runs."""
        return [sys.executable, str(ROOT / self.script), *self.overrides]

    def problem(self) -> Problem | None:
        """Compose and validate the settings as the script will; takes a tenth of a second.

        Returns:
            What is wrong first; None where nothing is.
        """
        from utils.config.roots import JOBS
        from utils.errors import ConfigError

        with COMPOSING:
            try:
                JOBS[CONFIGS[self.script]].from_overrides(self.overrides)
            except ConfigError as error:
                line = str(error).splitlines()[0]
                named = re.match(r"[\w./@]+(?==)|[\w/@]+\.[\w./@]+", line)
                return Problem(named[0] if named else "", line)
        return None


# what a dataset is prepared for -> settings of preprocess.py
GOALS: dict[str, tuple[str, ...]] = {
    "speech": (),
    "studio": ("audio=48k",),
    "rvc": ("audio=rvc_40k", "content=contentvec"),
}
# how a voice is trained, in words -> settings of train.py
PRESETS: dict[str, tuple[str, ...]] = {
    "tonight": ("pretrained=builtin",),
    "gpu": ("pretrained=builtin", "trainer.steps=20000", "trainer.fit_memory=true"),
    "rvc": ("experiment=rvc_v2_40k",),
}
# what is written -> settings of export_onnx.py
FORMATS: dict[str, tuple[str, ...]] = {
    "onnx": (),
    "stream": ("export.graph_kinds=[audio_to_audio,stream]",),
    "rvc_webui": ("export=rvc_webui",),
    "wokada": ("export=wokada",),
    "deiteris": ("export=deiteris",),
    "rvc_pth": ("export=rvc_pth",),
    "rvc_checkpoint": ("export=rvc_checkpoint",),
}
FOREIGN_FORMATS = ("onnx", "stream", "rvc_webui", "wokada", "deiteris")  # of a voice that another program made
BUILTIN = "builtin"
ENCODERS = ("contentvec", "contentvec_v1", "hubert", BUILTIN, "")  # what such a voice hears with; VITS hears itself


def prepare(
    source: str, name: str, goal: str, *, encoder: str = "", exclude: str = "", settings: Iterable[str] = ()
) -> Command:
    """Make a dataset of a folder of recordings.

    Args:
        source: the folder.
        name: of the dataset.
        goal: one of GOALS.
        encoder: file of ContentVec, for "rvc".
        exclude: a .txt file of recordings to leave out; empty: none.
        settings: key=value for everything else; they win over the goal's.
    """
    extra = [f"content.path={encoder}"] if goal == "rvc" else []
    extra += [f"dataset.exclude={exclude}"] if exclude else []
    places = (f"dataset.source={source}", f"dataset.name={name}")
    return Command("preprocess.py", (*places, *_last([*GOALS[goal], *extra, *settings])))


def train(dataset: str, run: str, preset: str, minutes: float | None, settings: Iterable[str] = ()) -> Command:
    """Train a voice.

    Args:
        dataset: its name.
        run: name of the run.
        preset: one of PRESETS.
        minutes: after which it stops; None: no limit.
        settings: key=value for everything else; they win over the preset's.
    """
    limit = [] if minutes is None else [f"trainer.max_minutes={minutes:g}"]
    given = _last([*PRESETS[preset], *limit, *settings])
    return Command("train.py", (f"dataset.name={dataset}", f"run.name={run}", *given))


def resume(dataset: str, run: str, preset: str, minutes: float | None, settings: Iterable[str] = ()) -> Command:
    """Go on with a run where it stopped."""
    begun = train(dataset, run, preset, minutes, settings)
    return Command("train.py", (*begun.overrides, "resume=last"))


def export(
    run: str, name: str, licence: str, consent: str, formats: str = "onnx", settings: Iterable[str] = ()
) -> Command:
    """Export a run as a voice.

    Args:
        run: folder.
        name: of the voice.
        licence: of the voice, in words; empty: not stated.
        consent: whose voice it is and what they agreed to; empty: not stated.
        formats: one of FORMATS.
        settings: key=value for everything else; they win over the format's.
    """
    given = _last([*FORMATS[formats], *_words(licence, consent), *settings])
    return Command("export_onnx.py", (f"run={run}", f"name={name}", *given))


def export_file(
    voice: str,
    name: str,
    licence: str,
    consent: str,
    formats: str = "onnx",
    *,
    encoder: str = "",
    encoder_file: str = "",
    index: str = "",
    settings: Iterable[str] = (),
) -> Command:
    """Export a voice that another program made.

    Args:
        voice: its file, .pth or .safetensors.
        name: of the voice.
        licence, consent: as of export().
        formats: one of FOREIGN_FORMATS.
        encoder: one of ENCODERS; for a graph from audio to audio alone.
        encoder_file: of that encoder, where it has one.
        index: its .index; empty: none.
        settings: key=value for everything else; they win.
    """
    is_whole = not any(item.startswith("export=") for item in FORMATS[formats])  # the others are generators alone
    hears = [f"content={encoder}"] * bool(is_whole and encoder)
    hears += [f"content.path={encoder_file}"] * bool(hears and encoder_file and encoder != BUILTIN)
    hears += [f"index={index}"] * bool(is_whole and index)
    given = _last([*FORMATS[formats], *hears, *_words(licence, consent), *settings])
    return Command("export_onnx.py", (f"voice={voice}", f"name={name}", *given))


def _words(licence: str, consent: str) -> list[str]:
    return [f"licence={licence}"] * bool(licence) + [f"consent={consent}"] * bool(consent)


def convert(voice: str, recordings: str, output: str, controls: Iterable[str] = ()) -> Command:
    """Convert recordings with an exported voice, or with a saved state of a run, which is exported once for that."""
    places = (f"onnx={voice}", f"audio={recordings}", f"output={output}")
    return Command("test_model.py", (*places, "threads=1", *controls))


def verify(voice: str) -> Command:
    """Prove that an exported voice does what its hosts need."""
    return Command("test_model.py", (f"verify={voice}", "verify_minutes=1"))


def _last(settings: Iterable[str]) -> list[str]:
    """Return settings with the last value of each key: Hydra refuses a key that is given twice."""
    return list({item.partition("=")[0]: item for item in settings}.values())
