"""The machine as text to paste into a report: python -m studio.doctor [folder of the voices]"""

import sys
from pathlib import Path

from studio.jobs import JobQueue
from studio.secret_texts import without_secrets
from studio.system import Hardware, SystemState, consequences, proposed_batch, read_hardware, warnings_of
from utils.console import emit, protect_console, tell
from utils.errors import WorkbenchError
from utils.reports.machine import machine_facts

STATE = ".studio"
USAGE = "usage: python -m studio.doctor [folder that datasets/, runs/ and exports/ lie in; default: this one]"
SECTIONS = ("datasets", "runs", "exports")


def main(arguments: list[str]) -> int:
    """Print the report; returns the exit code: 1 where something needs attention, 2 for a wrong argument."""
    protect_console()
    if arguments and arguments[0] in ("-h", "--help"):
        emit(f"{__doc__}\n\n{USAGE}")
        return 0
    folder = Path(arguments[0] if arguments else ".")
    if len(arguments) > 1 or not folder.is_dir():
        tell(f"error: {' '.join(arguments)} is not one folder; {USAGE}")
        return 2
    state = SystemState.now(folder, read_hardware())
    emit(doctor_text(folder, state))
    return 1 if warnings_of(state) else 0


def doctor_text(folder: Path, state: SystemState) -> str:
    """Return the report: facts, what follows from them, and what needs attention. No secret, no name of a person."""
    hardware = state.hardware or Hardware()
    facts = [(fact.name, fact.value) for fact in machine_facts() if fact.name != "page made"]
    facts += [
        ("memory", f"{state.memory_available / 1e9:.1f} GB free of {state.memory_total / 1e9:.1f} GB"),
        ("disk", f"{state.disk_free / 1e9:.1f} GB free of {state.disk_total / 1e9:.1f} GB"),
        ("PyTorch", hardware.torch or "none that works"),
        *[(str(gpu["device"]), _gpu(gpu)) for gpu in hardware.gpus],
        *([] if hardware.gpus else [("GPU", "none that PyTorch can use")]),
        ("here", ", ".join(f"{name}: {_count(folder / name)}" for name in SECTIONS)),
    ]
    width = max(len(name) for name, _ in facts)
    lines = [f"{name.ljust(width)}  {value}" for name, value in facts]
    lines += _listed("what follows", [*consequences(hardware), _batch(folder)])
    lines += _listed("needs attention", warnings_of(state)) or ["", "nothing needs attention"]
    home = str(Path.home())
    text = without_secrets("\n".join(lines))
    return text.replace(home, "~") if len(home) > 1 else text


def _listed(title: str, lines: list[str]) -> list[str]:
    return ["", f"{title}:", *[f"  * {line}" for line in lines]] if lines else []


def _batch(folder: Path) -> str:
    jobs = folder / STATE / "jobs"
    try:
        found = proposed_batch(JobQueue(jobs, work=folder, starts=False)) if jobs.is_dir() else None
    except WorkbenchError:
        found = None
    if found is None:
        return "batch: not measured; python train.py dataset.name=<name> trainer.probe=true proposes one"
    job, words = found
    return f"batch: {words} (measured by {job.command_line})"


def _gpu(gpu: dict[str, object]) -> str:
    total, free = (float(str(gpu[key])) / 1e9 for key in ("memory_bytes", "free_bytes"))
    memory = f", {free:.1f} GB free of {total:.1f} GB" if total else ""
    return f"{gpu['name']}{memory}, bf16 {'yes' if gpu['bf16'] else 'no'}"


def _count(folder: Path) -> int:
    return sum(1 for place in folder.glob("*/") if not place.name.startswith("."))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
