"""Try an exported voice: python test_model.py onnx=<voice>.onnx audio=<recording or folder>  (see --help).

Or prove that a graph does what its hosts need: python test_model.py verify=<voice>.onnx
"""

from typing import Any

from omegaconf import DictConfig

from utils.config import given_keys, run_script
from utils.config.arguments import spell_paths


def main(config: DictConfig) -> None:
    """Convert recordings, or verify a graph; print what was found and write it as JSON."""
    if config.verify is not None:
        verify(config)
    else:
        convert(config)


def verify(config: DictConfig) -> None:
    """Apply every rule to a graph; exit with 1 when one does not hold."""
    from utils.console import emit, table
    from utils.verification.job import run_verification, verify_job

    job = verify_job(config, given_keys())
    report = run_verification(job)
    failed = [check["name"] for check in report["checks"] if not check["passed"]]
    rows = [[check["outcome"], check["name"], check["detail"]] for check in report["checks"]]
    emit(table(rows, ["", "rule", "detail"]))
    for note in report["notes"]:
        emit(note)
    emit(f"report: {job.report}")
    emit(f"{job.onnx.name}: {len(failed)} of {len(rows)} rules do not hold" if failed else f"{job.onnx.name} passed")
    if failed:
        raise SystemExit(1)


def convert(config: DictConfig) -> None:
    """Convert recordings with a graph."""
    from utils.console import emit
    from utils.errors import DataError
    from utils.inference.trial import run_trial, trial_job

    report = run_trial(trial_job(config, given_keys()), emit)
    print_graph(report["graph"])
    print_files(report["files"])
    print_speed(report["speed"])
    emit(f"report: {report['report']}")
    if report["failures"]:
        names = ", ".join(str(failure["file"]) for failure in report["failures"])
        raise DataError(f"{len(report['failures'])} recording(s) could not be converted: {names}")


def print_graph(graph: dict[str, Any]) -> None:
    """Print what the graph takes, gives and says about itself."""
    from utils.console import emit, table

    kinds = (("input", "inputs"), ("optional input", "overridable_inputs"), ("output", "outputs"))
    rows = [[kind, value["name"], value["type"], str(value["shape"])] for kind, key in kinds for value in graph[key]]
    emit()
    emit(table(rows, [graph["file"], "name", "type", "shape"]))
    emit()
    metadata = graph["metadata"]
    if metadata:
        speakers = [f"{item['id']} {item['name']} ({item['f0_median_hz']:.0f} Hz)" for item in metadata["speakers"]]
        metrics = "".join(f", {name} {value:.4g}" for name, value in metadata["metrics"].items())
        shown = [
            ["voice", metadata["name"]],
            ["speakers", ", ".join(speakers)],
            ["rates", f"{metadata['sample_rate']} Hz in and out, generator at {metadata['model_rate']} Hz"],
            ["encoder, pitch", f"{metadata['encoder'].get('id')}, {metadata['pitch'].get('id')}"],
            ["training", f"{metadata['step']} steps{metrics}"],
            ["licence, consent", f"{metadata['licence']}, {metadata['consent']}"],
        ]
    else:
        shown = [["metadata", "none of this workbench"], ["rate", f"{graph['sample_rate']} Hz, from the file name"]]
    length = "output as long as input" if graph["keeps_length"] else f"BROKEN for {graph['wrong_lengths']} samples"
    emit(table([*shown, ["length rule", length]], ["metadata", ""]))
    emit()


def print_files(files: list[dict[str, Any]]) -> None:
    """Print level, clipping and pitch of each converted file."""
    from utils.console import emit, table

    rows = []
    for item in files:
        pitch, correlation = item["pitch"], item["pitch"]["correlation"]
        rows.append([
            item["output"],
            f"{item['input_level']['rms_db']:.1f} -> {item['output_level']['rms_db']:.1f}",
            f"{item['output_level']['peak_db']:.1f}",
            item["output_level"]["num_clipped"],
            "too few voiced frames" if correlation is None else f"{correlation:.3f}",
            "" if pitch["shift_semitones"] is None else f"{pitch['shift_semitones']:+.1f}",
        ])  # fmt: skip
    if rows:
        emit(table(rows, ["converted", "level dB", "peak dB", "clipped", "F0 correlation", "shift st"]))
        emit()


def print_speed(speed: list[dict[str, Any]]) -> None:
    """Print the real-time factors."""
    from utils.console import emit, table

    if speed:
        rows = [[item["num_threads"], item["real_time_factor"], item["block_milliseconds"]] for item in speed]
        emit(table(rows, ["threads", "RTF", "slowest 100 ms block, ms"]))
        emit()


if __name__ == "__main__":
    # audio= alone would choose an option of the configuration group of that name
    paths = ("onnx", "audio", "audio.path", "output", "report", "verify")
    run_script("test_model", main, spell=lambda arguments: spell_paths(arguments, paths, {"audio": "audio.path"}))
