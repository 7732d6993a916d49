"""Judge the states of a run that wait, then end: python -m utils.run_evaluation <run>

train.py starts this after validations (evaluation=background). Where another one judges the run, it ends at once.
"""

import sys
from pathlib import Path

from utils.background import give_way
from utils.config import from_yaml
from utils.config.fields import validate
from utils.config.train import EvaluationSettings
from utils.console import tell_error
from utils.errors import WorkbenchError
from utils.locks import try_lock
from utils.training.evaluation_folder import LOCK, MATERIAL, EvaluationFolder


def main(arguments: list[str]) -> int:
    """Judge what waits; returns the exit code."""
    give_way()
    folder = EvaluationFolder(Path(arguments[0]))
    with (folder.folder / LOCK).open("a", encoding="utf-8") as lock:
        if not try_lock(lock):
            return 0
        try:
            judge_waiting(folder)
        except WorkbenchError as error:
            tell_error("error", error.lines)
            return 2
    return 0


def judge_waiting(folder: EvaluationFolder) -> None:
    """Judge one state after the other until none waits.

    Raises:
        WorkbenchError: if a state, the dataset or the settings cannot be used.
    """
    import torch

    from utils.corpus.store import CorpusStore
    from utils.evaluation.evaluators import load_evaluators
    from utils.evaluation.remembering import Memory
    from utils.run_evaluation.judge import judge_state
    from utils.run_evaluation.material import open_material

    torch.set_num_threads(1)
    config = from_yaml((folder.run / "config.yaml").read_text(encoding="utf-8"))
    settings = validate(EvaluationSettings, config["evaluation"], "evaluation")
    store = CorpusStore.open(Path(config["dataset"]["root"]) / str(config["dataset"]["name"]))
    material = open_material(folder.folder / MATERIAL, store, settings)
    memory = Memory(material.heard())
    evaluators = load_evaluators(settings.evaluators, language=settings.language, memory=memory)
    while waiting := folder.waiting():
        judge_state(folder, waiting[0], material, evaluators)
        material.remember(memory)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
