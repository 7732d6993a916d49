"""The same sentence in every voice: spoken once for this disk, converted once for each voice.

.studio/previews/sentence.wav            by the text-to-speech voice of the demo where it is installed (make demo),
                                         else syllables that are computed
.studio/previews/<voice>/sentence.wav    the same in a voice

python -m studio.previews <file>         speak the sentence
"""

import subprocess
import sys
from pathlib import Path

import numpy as np

from studio.commands import Command, convert
from studio.texts import Line
from studio.workspace import STATE, Workspace, read_json
from utils.audio.io import save_audio
from utils.console import tell
from utils.errors import DataError

PREVIEWS = f"{STATE}/previews"
SENTENCE, CARD = "sentence.wav", "card.json"
TEXT = "The north wind and the sun were disputing which of them was the stronger."  # Aesop's, as phoneticians take it
COMPUTED_RATE = 24000
ROOT = Path(__file__).resolve().parents[1]
LONGEST_SECONDS = 300.0


def sentence_of(workspace: Workspace) -> Path:
    """Return where the spoken sentence lies."""
    return workspace.folder / PREVIEWS / SENTENCE


def preview_of(workspace: Workspace, voice: str) -> Path | None:
    """Return the sentence in a voice; None where it was not converted since the voice was exported."""
    path, card = workspace.folder / PREVIEWS / voice / SENTENCE, workspace.folder / "exports" / voice / CARD
    is_new = path.is_file() and card.is_file() and path.stat().st_mtime >= card.stat().st_mtime
    return path if is_new else None


def preview_command(workspace: Workspace, voice: str, graph: Path) -> Command:
    """Return the command that converts the sentence.

    Args:
        workspace: has the voice.
        voice: its name.
        graph: its file, from the folder of the voices.
    """
    card = read_json(workspace.folder / "exports" / voice / CARD)
    speakers = (card.get("voice") or {}).get("speakers") or []
    knows_pitch = any(speaker.get("f0_median_hz") for speaker in speakers)  # an imported voice does not
    shift = ["pitch_shift=auto"] * knows_pitch
    return convert(graph.as_posix(), f"{PREVIEWS}/{SENTENCE}", f"{PREVIEWS}/{voice}/{SENTENCE}", shift)


def ensure_sentence(workspace: Workspace) -> None:
    """Speak the sentence where that was not done yet, in a process of its own: call it outside of the page's thread.

    Raises:
        DataError: if it cannot be written.
    """
    path = sentence_of(workspace)
    if path.is_file():
        return
    command = [sys.executable, "-m", "studio.previews", str(path)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise DataError(Line("error.sentence_late", seconds=f"{LONGEST_SECONDS:.0f}")) from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason was given"]
        raise DataError(Line("error.sentence", reason=lines[-1][:200]))


def speak(path: Path) -> None:
    """Write the sentence; about five seconds."""
    from utils.verification.utterances import utterance  # the pages do without it

    audio, rate = _spoken() or (utterance(COMPUTED_RATE).at(-20.0), COMPUTED_RATE)
    save_audio(path, audio, rate)


def _spoken() -> tuple[np.ndarray, int] | None:
    """Return the sentence of the demo's text-to-speech voice and its rate; None where it is not installed."""
    try:
        from hibari import Hibari
    except ImportError:
        return None
    engine = Hibari(threads=1)
    return np.asarray(engine(TEXT, seed=1), np.float32), int(engine.sample_rate)


def main(arguments: list[str]) -> int:
    """Speak the sentence into a file; returns the exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        tell("usage: python -m studio.previews <file.wav>")
        return 2
    speak(Path(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
