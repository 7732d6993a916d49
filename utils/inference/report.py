"""What a person is told of a conversion, as text."""

from typing import Any

from utils.console import table
from utils.errors import DataError


def trial_text(report: dict[str, Any]) -> str:
    """Return the tables of a report of run_trial: the graph, the files, the speed."""
    parts = [graph_text(report["graph"]), files_text(report["files"]), speed_text(report["speed"])]
    return "\n" + "\n\n".join([*(part for part in parts if part), f"report: {report['report']}"])


def require_converted(report: dict[str, Any]) -> None:
    """Raise DataError, naming the recordings that could not be converted, unless all were."""
    if report["failures"]:
        names = ", ".join(str(failure["file"]) for failure in report["failures"])
        raise DataError(f"{len(report['failures'])} recording(s) could not be converted: {names}")


def graph_text(graph: dict[str, Any]) -> str:
    """Return what the graph takes, gives and says about itself."""
    kinds = (("input", "inputs"), ("optional input", "overridable_inputs"), ("output", "outputs"))
    rows = [[kind, value["name"], value["type"], str(value["shape"])] for kind, key in kinds for value in graph[key]]
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
    values = table(rows, [graph["file"], "name", "type", "shape"])
    return f"{values}\n\n{table([*shown, ['length rule', length]], ['metadata', ''])}"


def files_text(files: list[dict[str, Any]]) -> str:
    """Return level, clipping and pitch of each converted file; nothing without any."""
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
    return table(rows, ["converted", "level dB", "peak dB", "clipped", "F0 correlation", "shift st"]) if rows else ""


def speed_text(speed: list[dict[str, Any]]) -> str:
    """Return the real-time factors; nothing where none was measured."""
    rows = [[item["num_threads"], item["real_time_factor"], item["block_milliseconds"]] for item in speed]
    return table(rows, ["threads", "RTF", "slowest 100 ms block, ms"]) if rows else ""
