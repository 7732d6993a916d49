"""Look into a voice, whatever file or run it is."""

from collections.abc import Collection
from pathlib import Path

from utils.errors import ConfigError
from utils.export.analysed_files import analyse_clusters, analyse_graph, analyse_index, analyse_run
from utils.export.analysis import Analysis
from utils.export.rvc.analysed_voice import analyse_voice


def analyse(voice: Path | None, run: Path | None, which: str, trust: Collection[str] = ()) -> Analysis:
    """Look into a file, or else a run.

    Raises:
        ConfigError: if the run is absent, or the voice of no size that is known.
        FormatError: if the file is damaged, unsafe or of another kind.
    """
    if voice is None:
        assert run is not None
        return analyse_run(run, which, trust)
    if voice.is_dir():
        raise ConfigError(f"voice={voice} is a folder; give a file, or a run of train.py with run={voice}")
    suffix = voice.suffix.lower()
    if suffix == ".pkl" or voice.name.lower().startswith("kmeans"):
        return analyse_clusters(voice)
    if suffix == ".index":
        return analyse_index(voice)
    return analyse_graph(voice) if suffix == ".onnx" else analyse_voice(voice)
