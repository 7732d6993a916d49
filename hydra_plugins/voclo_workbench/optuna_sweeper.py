"""Search instead of a grid: Optuna proposes the values of the next runs from the held-out results of the earlier ones.

The published hydra-optuna-sweeper ends at Optuna 2, whose storages do not work with SQLAlchemy 2; this one speaks to
the current Optuna and has the same keys.
"""

import logging
import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import OmegaConf

from utils.config.composing import Composed
from utils.console import emit, table
from utils.errors import ConfigError, WorkbenchError
from utils.files import atomic_write_json

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

INSTALL = 'pip install "optuna>=4,<6"'
SAMPLERS = {"tpe": "TPESampler", "random": "RandomSampler"}
DIRECTIONS = ("minimize", "maximize")
MOST_ROWS = 20
log = logging.getLogger(__name__)


class OptunaSweeper(Sweeper):
    """Runs trials until there are n_trials, as many at a time as n_jobs, and shows the best.

    Args:
        params: key -> sweep, such as {optim.optimizer.lr: "tag(log, interval(1e-5, 1e-3))"}; sweeps on the command line
            join them, and a plain value there takes a key out of the search.
        n_trials: in all, with those that a stored study already has.
        n_jobs: trials at a time; more than one is of use with a launcher that runs jobs side by side.
        direction: minimize or maximize what the run returns (train.py: held-out val/mel of best.ckpt).
        sampler: tpe (Tree-structured Parzen Estimator) or random.
        seed: of the sampler.
        storage: null keeps the study in memory; sqlite:///<file> keeps it, and the same command then continues it.
        study_name: of the study in the storage and of the file of results.
        max_failure_rate: share of the trials of one batch that may fail without ending the sweep.
    """

    def __init__(
        self,
        *,
        params: dict[str, str] | None,
        n_trials: int,
        n_jobs: int,
        direction: str,
        sampler: str,
        seed: int | None,
        storage: str | None,
        study_name: str,
        max_failure_rate: float,
    ) -> None:
        self.params = dict(params or {})
        self.n_trials, self.n_jobs = n_trials, n_jobs
        self.direction, self.sampler, self.seed = direction, sampler, seed
        self.storage, self.study_name = storage, study_name
        self.max_failure_rate = max_failure_rate
        self.launcher: Any = None
        self.config: Composed = OmegaConf.create({})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: Composed) -> None:
        """Check the settings and prepare the launcher.

        Raises:
            ConfigError: if optuna is absent or a setting is not allowed.
        """
        try:
            import optuna  # noqa: F401
        except ImportError as error:
            raise ConfigError(f"hydra/sweeper=optuna needs optuna; type: {INSTALL}") from error
        if self.sampler not in SAMPLERS:
            raise ConfigError(f"hydra.sweeper.sampler={self.sampler} is unknown; allowed: {', '.join(SAMPLERS)}")
        if self.direction not in DIRECTIONS:
            raise ConfigError(f"hydra.sweeper.direction={self.direction} must be {' or '.join(DIRECTIONS)}")
        for key, value in (("n_trials", self.n_trials), ("n_jobs", self.n_jobs)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"hydra.sweeper.{key}={value} must be a whole number of at least 1")
        if not isinstance(self.max_failure_rate, int | float) or not 0 <= self.max_failure_rate <= 1:
            raise ConfigError(f"hydra.sweeper.max_failure_rate={self.max_failure_rate} must be between 0 and 1")
        self.config, self.hydra_context = config, hydra_context
        plugins = Plugins.instance()
        self.launcher = plugins.instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials.

        Raises:
            ConfigError: if there is nothing to search.
            WorkbenchError: if too many runs failed.
        """
        space, fixed = search_space([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
        if not space:
            raise ConfigError(
                "hydra/sweeper=optuna has nothing to search; give a sweep such as 'optim.clip_norm=interval(1,20)' "
                "or hydra.sweeper.params"
            )
        study = self._open_study()
        done = sum(trial.state.is_finished() for trial in study.trials)
        if done:
            log.info("study %s has %d of %d trials already", self.study_name, done, self.n_trials)
        while done < self.n_trials:
            trials = [study.ask(space) for _ in range(min(self.n_jobs, self.n_trials - done))]
            self._run_batch(study, trials, fixed)
            done += len(trials)
        self._report(study)

    def _open_study(self) -> "Study":
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = getattr(optuna.samplers, SAMPLERS[self.sampler])(seed=self.seed)
        try:
            return optuna.create_study(
                study_name=self.study_name,
                storage=self.storage,
                sampler=sampler,
                direction=self.direction,
                load_if_exists=True,
            )
        except Exception as error:  # whatever the database's driver raises; it is the user's address that is wrong
            raise ConfigError(
                f"hydra.sweeper.storage={self.storage} cannot be used: {' '.join(str(error).split())[:200]}"
            ) from error

    def _run_batch(self, study: "Study", trials: list["Trial"], fixed: list[str]) -> None:
        overrides = [[*(f"{key}={value}" for key, value in trial.params.items()), *fixed] for trial in trials]
        numbers = [trial.number for trial in trials]
        results: list[JobReturn] = []
        if all(after == before + 1 for before, after in pairwise(numbers)):
            results += self.launcher.launch(overrides, initial_job_idx=numbers[0])
        else:  # another process asks the same study: the runs are named by the trials all the same
            for number, item in zip(numbers, overrides, strict=True):
                results += self.launcher.launch([item], initial_job_idx=number)
        failures = [error for error in map(self._tell, [study] * len(trials), trials, results) if error is not None]
        if len(failures) > self.max_failure_rate * len(trials):
            raise failures[0]

    def _tell(self, study: "Study", trial: "Trial", result: JobReturn) -> Exception | None:
        """Enter the result of a run; returns why there is none."""
        from optuna.trial import TrialState

        try:
            value = float(result.return_value)
            if not math.isfinite(value):
                raise WorkbenchError(f"run {trial.number} returned {value}")
        except Exception as error:  # noqa: BLE001  whatever a run raised: the study goes on or not, as max_failure_rate says
            study.tell(trial, state=TrialState.FAIL)
            if result.status == JobStatus.COMPLETED and not isinstance(error, WorkbenchError):
                return WorkbenchError(f"run {trial.number} returned {result.return_value!r} instead of a number")
            return error
        study.tell(trial, value)
        log.info("run %d: %s = %.5g", trial.number, _words(trial.params), value)
        return None

    def _report(self, study: "Study") -> None:
        """Print the trials, the best first, and write them down."""
        finished = [trial for trial in study.trials if trial.value is not None]
        finished.sort(key=lambda trial: trial.value or 0.0, reverse=self.direction == "maximize")
        names = list(finished[0].params) if finished else []
        rows = [[trial.number, *(trial.params.get(name, "") for name in names), trial.value] for trial in finished]
        emit(table(rows[:MOST_ROWS], ["run", *names, "result"]))
        path = Path(str(self.config.hydra.sweep.dir)) / f"{self.study_name}.json"
        trials = [{"run": trial.number, "params": trial.params, "result": trial.value} for trial in finished]
        atomic_write_json(path, {"study": self.study_name, "direction": self.direction, "trials": trials})
        if finished:
            emit(f"best: {' '.join(f'{key}={value}' for key, value in finished[0].params.items())}   ({path})")


def search_space(overrides: list[str]) -> tuple[dict[str, "BaseDistribution"], list[str]]:
    """Split overrides into the space to search and those that every run gets; the last of a key counts.

    Raises:
        ConfigError: if a sweep is of a kind that cannot be searched.
    """
    space: dict[str, BaseDistribution] = {}
    fixed: dict[str, str] = {}
    for override in OverridesParser.create().parse_overrides(overrides):
        key = override.get_key_element()
        space.pop(key, None)
        fixed.pop(key, None)
        if override.is_sweep_override():
            space[key] = distribution(override)
        else:
            fixed[key] = str(override.input_line)
    return space, list(fixed.values())


def distribution(override: Override) -> "BaseDistribution":
    """Return Optuna's form of a sweep: a,b,c or range(a,b) or [tag(log,] interval(a,b) or int(interval(a,b)).

    Raises:
        ConfigError: if it has none.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep = override.value()
    if isinstance(sweep, IntervalSweep) and sweep.start is not None and sweep.end is not None:
        is_log = "log" in sweep.tags
        if isinstance(sweep.start, int) and isinstance(sweep.end, int):
            return IntDistribution(sweep.start, sweep.end, log=is_log)
        return FloatDistribution(float(sweep.start), float(sweep.end), log=is_log)
    if isinstance(sweep, RangeSweep) and not sweep.shuffle:
        values = list(sweep.range())
        if values and all(isinstance(value, int) for value in values):
            step = values[1] - values[0] if len(values) > 1 else 1
            return IntDistribution(min(values), max(values), step=abs(int(step)))
    if isinstance(sweep, ChoiceSweep | RangeSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    raise ConfigError(f"{override.input_line} cannot be searched; allowed: a,b,c, range(a,b) and interval(a,b)")


def _words(params: dict[str, Any]) -> str:
    return ", ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in params.items()
    )
