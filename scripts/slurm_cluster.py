"""A SLURM of one node on this machine, in a folder: for trials only, without accounting."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from utils.errors import WorkbenchError
from utils.files import atomic_write_bytes, atomic_write_text

PACKAGES = ("slurm-wlm", "munge")
COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue")
CPUS = 4  # of the node, whatever the machine has
CONFIGURATION = """\
ClusterName=trial
SlurmctldHost={host}
SlurmUser=root
SlurmctldPort={port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
SlurmdParameters=config_overrides
SwitchType=switch/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobRequeue=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MinJobAge=3600
KillWait=60
NodeName={host} CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=trial Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def require_debian(*, install: bool) -> None:
    """Check that this machine can hold the trial.

    Raises:
        WorkbenchError: if it is no Debian, the user is not root, or SLURM is absent and not to be installed.
    """
    if not Path("/etc/debian_version").is_file() or shutil.which("apt-get") is None:
        raise WorkbenchError("this trial sets up SLURM from Debian's packages; this machine is no Debian")
    if os.geteuid() != 0:
        raise WorkbenchError("this trial starts SLURM's daemons and must be run as root, in a machine of no importance")
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing and not install:
        raise WorkbenchError(
            f"{', '.join(missing)} are absent; add --install, or type: apt-get install {' '.join(PACKAGES)}"
        )
    if missing:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update"], check=True, env=environment)
        command = ["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES]
        subprocess.run(command, check=True, env=environment)


@contextmanager
def running_cluster(folder: Path) -> Iterator[None]:
    """Start munged, slurmctld and slurmd with everything in a folder, and end them afterwards.

    Within the block, SLURM's commands of this process and its children speak to this cluster.

    Raises:
        WorkbenchError: if the node does not become idle; says where the logs lie.
    """
    for name in ("munge", "state", "spool", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    folder.joinpath("munge").chmod(0o755)
    atomic_write_bytes(folder / "munge" / "key", os.urandom(1024))
    folder.joinpath("munge", "key").chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    values = {"host": host, "folder": folder, "cpus": CPUS, "port": 26817, "node_port": 26818}
    atomic_write_text(folder / "slurm.conf", CONFIGURATION.format(**values))
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    options = [f"--{option}={folder / 'munge' / name}" for option, name in files.items()]
    try:
        subprocess.run(["munged", "--force", *options], check=True)
        subprocess.run(["slurmctld", "-i", "-c"], check=True)
        subprocess.run(["slurmd"], check=True)
        logs = f"the cluster did not start; its logs are in {folder / 'log'}"
        wait_for(lambda: answer("sinfo", "--noheader", "--format=%t").startswith("idle"), 60, logs)
        yield
    finally:
        _end(folder)
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before


def _end(folder: Path) -> None:
    """Cancel what runs and end the daemons."""
    with suppress(subprocess.SubprocessError, WorkbenchError):
        subprocess.run(["scancel", "--user=root"], check=False, timeout=30)
        wait_for(lambda: not answer("squeue", "--noheader"), 90, "jobs do not end")
    for path in (folder / "slurmd.pid", folder / "slurmctld.pid", folder / "munge" / "pid"):
        with suppress(OSError, ValueError):
            process = int(path.read_text())
            os.kill(process, signal.SIGTERM)
            with suppress(WorkbenchError):
                wait_for(lambda process=process: not Path(f"/proc/{process}").exists(), 20, "does not end")  # type: ignore[misc]
            os.kill(process, signal.SIGKILL)


def answer(*command: str, cwd: Path | None = None) -> str:
    """Run a command and return what it prints.

    Raises:
        WorkbenchError: if it fails.
    """
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkbenchError(f"{' '.join(command)[:200]} failed: {done.stderr.strip()[:500]}")
    return done.stdout.strip()


def submit(*arguments: str, cwd: Path) -> str:
    """Submit with sbatch; returns the number of the job."""
    return answer("sbatch", "--parsable", *arguments, cwd=cwd).partition(";")[0]


def job_field(job: str, name: str) -> str:
    """Return a field of scontrol's description of a job, such as JobState, Restarts or ExitCode."""
    words = answer("scontrol", "show", "job", job, "--oneliner").splitlines()[0].split()
    return next((word.partition("=")[2] for word in words if word.startswith(f"{name}=")), "")


def wait_for_end(job: str, seconds: float) -> str:
    """Wait until a job (or all tasks of an array) has ended; returns COMPLETED or the first other state.

    Raises:
        WorkbenchError: if it takes longer.
    """

    def states() -> list[str]:
        lines = answer("scontrol", "show", "job", job, "--oneliner").splitlines()
        return [word.partition("=")[2] for line in lines for word in line.split() if word.startswith("JobState=")]

    running = {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD"}
    wait_for(lambda: not running & set(states()), seconds, f"job {job} did not end in {seconds:.0f} s")
    return next((state for state in states() if state != "COMPLETED"), "COMPLETED")


def wait_for(condition: Callable[[], bool], seconds: float, message: str) -> None:
    """Wait until something holds.

    Raises:
        WorkbenchError: with the message, if it takes longer.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise WorkbenchError(message)
        time.sleep(0.2)
