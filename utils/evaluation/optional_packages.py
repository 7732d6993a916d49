"""The packages of the evaluators: none is required, and a missing one is reported with the command that installs it."""

import importlib.util
from pathlib import Path

from utils.errors import WorkbenchError

EVALUATION_RATE = 16000  # samples a second of the audio that every evaluator takes
INSTALL = "pip install --no-deps -r requirements-evaluation.lock"


class MissingEvaluatorError(WorkbenchError):
    """An evaluator's package is not installed; the message is the command that installs it."""


def package_folder(module: str) -> Path:
    """Return the folder of an installed package without importing it.

    Raises:
        MissingEvaluatorError: if it is not installed.
    """
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise MissingEvaluatorError(INSTALL)
    return Path(next(iter(found.submodule_search_locations)))
