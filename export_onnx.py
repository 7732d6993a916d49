"""Export a voice: python export_onnx.py run=runs/<run>  (python export_onnx.py --help explains the keys)."""

import shlex

from omegaconf import DictConfig

from utils.config import given_keys, run_script
from utils.config.arguments import spell_names, spell_paths

TEXTS = ("run", "voice", "name", "dataset", "export.root")


def main(config: DictConfig) -> None:
    """Export the run or file that the configuration names and print what was verified."""
    from utils.config.export import ExportJob
    from utils.console import emit, table
    from utils.errors import ExportError
    from utils.export.delivery import export_voice
    from utils.export.plans import plan_export
    from utils.export.rvc.files import run_foreign
    from utils.voice_file.names import is_stream_file

    job = ExportJob.from_config(config, given_keys())
    if job.export.kind != "onnx":
        emit("\n".join(run_foreign(job)))
        return
    outcome = export_voice(plan_export(job))
    for note in outcome.notes:
        emit(note)
    for graph in outcome.graphs:
        emit(graph.path.name)
        rows = [[check.outcome, check.name, check.detail] for check in graph.checks]
        emit(table(rows, ["", "rule", "detail"]))
        emit()
    if outcome.failures:
        raise ExportError(f"nothing was exported, {outcome.folder} is as before; failed: {'; '.join(outcome.failures)}")
    if outcome.index is not None:
        emit(f"index: {outcome.index}")
    if outcome.baking is not None:
        emit(str(outcome.baking))
    for path in outcome.files:
        emit(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")
    first = next((path for path in outcome.files if path.suffix == ".onnx" and not is_stream_file(path)), None)
    if first is None:
        emit("next: docs/tutorials/live.md has the loop of a host")
        return
    emit(f"next: python test_model.py onnx={shlex.quote(str(first))} audio=<recording or folder>")


def spell(arguments: list[str]) -> list[str]:
    """Put paths and names into Hydra's grammar; commas still separate the values of a sweep."""
    is_sweep = bool({"-m", "--multirun"} & set(arguments))
    return spell_names(arguments, TEXTS) if is_sweep else spell_paths(arguments, TEXTS, {})


if __name__ == "__main__":
    run_script("export", main, spell=spell)
