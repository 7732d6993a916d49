"""Each run of a sweep as a job of one SLURM array, through hydra-submitit-launcher."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import OmegaConf

from utils.config.composing import Composed
from utils.errors import PREEMPTED_EXIT_CODE, ConfigError, WorkbenchError

ROOT = Path(__file__).resolve().parents[2]
INSTALL = 'pip install "hydra-submitit-launcher==1.2.0"'


class SlurmLauncher(Launcher):
    """Submits the runs as one array, waits for all of them and returns their results.

    A run that a signal stops in an orderly way (exit code 75) is put back into the queue and continues there, with
    `resume=auto`, from its last checkpoint.

    Args:
        submitit_folder: where job scripts and logs are written; %j is the number of the job.
        name: of the array in the queue.
        partition: null leaves it to the cluster; account, qos, constraint, gres likewise.
        account: to charge.
        qos: quality of service.
        constraint: features that a node must have.
        gres: generic resources for each node, such as gpu:a100:1.
        timeout_min: minutes after which SLURM ends a job.
        signal_delay_s: SIGUSR1 is sent this many seconds before that, so that the run saves and is queued again.
        nodes: for each run; must be trainer.num_nodes.
        tasks_per_node: processes on each node; must be trainer.devices.
        cpus_per_task: processor cores of each process.
        gpus_per_node: null asks for none.
        mem_gb: memory of each node.
        array_parallelism: most runs at a time.
        max_num_timeout: how often submitit itself may queue a run again, should it be stopped outside of the training.
        setup: shell lines before the run, such as ["module load cuda"].
        additional_parameters: further options of sbatch, such as {mail-type: END}.
    """

    def __init__(
        self,
        *,
        submitit_folder: str,
        name: str,
        partition: str | None,
        account: str | None,
        qos: str | None,
        constraint: str | None,
        gres: str | None,
        timeout_min: int,
        signal_delay_s: int,
        nodes: int,
        tasks_per_node: int,
        cpus_per_task: int,
        gpus_per_node: int | None,
        mem_gb: float | None,
        array_parallelism: int,
        max_num_timeout: int,
        setup: list[str] | None,
        additional_parameters: dict[str, Any],
    ) -> None:
        values = {key: value for key, value in locals().items() if key not in ("self", "__class__")}
        self.params = {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in values.items()
        }
        self.inner: Any = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: Composed) -> None:
        """Prepare for launch.

        Raises:
            ConfigError: if the package is absent or this machine has no SLURM.
        """
        # read when submitit is imported, here and in the jobs: the signal that the training understands
        os.environ["SUBMITIT_PREEMPT_SIGNAL"] = "USR1"
        try:
            from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher as SubmititLauncher
        except ImportError as error:
            raise ConfigError(f"hydra/launcher=slurm needs hydra-submitit-launcher; type: {INSTALL}") from error
        missing = [name for name in ("sbatch", "srun", "scontrol") if shutil.which(name) is None]
        if missing:
            raise ConfigError(
                f"hydra/launcher=slurm: this machine has no {', '.join(missing)}; start the sweep where sbatch works, "
                "or leave hydra/launcher out to run it here"
            )
        self.inner = SubmititLauncher(**self.params)
        self.inner.setup(hydra_context=hydra_context, task_function=QueuedTask(task_function), config=config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit one run for each list of overrides; returns when all have ended.

        Raises:
            WorkbenchError: if SLURM refuses the jobs or loses one.
        """
        from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError

        before = os.environ.get("PYTHONPATH")
        # the jobs start as modules of submitit in whatever folder this is
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([before] if before else [])])
        try:
            results: Sequence[JobReturn] = self.inner.launch(job_overrides, initial_job_idx=initial_job_idx)
        except (FailedSubmissionError, subprocess.CalledProcessError) as error:
            raise WorkbenchError(
                f"hydra/launcher=slurm: SLURM refused the jobs: {' '.join(str(error).split())}"
            ) from error
        except (FailedJobError, UncompletedJobError) as error:
            folder = str(self.params["submitit_folder"]).replace("/%j", "")
            text = " ".join(str(error).split())[:200]
            raise WorkbenchError(
                f"hydra/launcher=slurm: a run did not end properly; logs in {folder}: {text}"
            ) from error
        finally:
            if before is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before
        return results


class QueuedTask:
    """The task of a script, as it runs inside a job.

    Args:
        task: what the script does with a configuration.
    """

    def __init__(self, task: TaskFunction) -> None:
        self.task = task

    def __call__(self, config: Composed) -> Any:
        """Run the task; when a signal stopped it in an orderly way, put the job back into the queue."""
        try:
            return self.task(config)
        except SystemExit as stop:
            if stop.code == PREEMPTED_EXIT_CODE:
                requeue()
                raise
            if stop.code in (0, None):
                return None
            raise WorkbenchError(f"the run ended with exit code {stop.code}; its log says why") from stop


def requeue() -> None:
    """Put this job back into SLURM's queue, once for all its processes; after a pre-emption SLURM may have done so."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or os.environ.get("SLURM_PROCID", "0") != "0":
        return
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    name = f"{array}_{task}" if array and task else job
    subprocess.run(["scontrol", "requeue", name], check=False)
