"""Failures of the machine: no recording is to blame, so they end a run instead of costing it one recording."""

import errno

from utils.audio.decoder_process import ending

LATER = "no dataset was changed, and the same command goes on where it was"
ROOM = f"free some space there or in the folder for temporary files (TMPDIR chooses another); {LATER}"
HANDLES = f"raise the limit (ulimit -n) or set a lower preprocess.num_workers; {LATER}"
DEVICE = f"check the disk or its connection; {LATER}"
MEMORY = f"free some memory or set a lower preprocess.num_workers; {LATER}"
REMEDIES: dict[int, str] = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EMFILE: HANDLES,
    errno.ENFILE: HANDLES,
    errno.EIO: DEVICE,
    errno.ESTALE: DEVICE,
    errno.ENOMEM: MEMORY,
}
SIGNALS = {  # Windows has neither
    "SIGKILL": f"as the system does when memory runs out; {MEMORY}",
    "SIGBUS": f"as the system does when the disk of a mapped file is full or fails; {ROOM}",
}


def machine_failure(error: BaseException | None, where: str) -> str | None:
    """Return what failed and what to do, where an error or what it was raised from is the machine's fault, else None.

    Args:
        error: what was raised.
        where: what was worked on.
    """
    while error is not None:
        words = _words(error, where)
        if words is not None:
            return f"{where}: {words}"
        error = error.__cause__
    return None


def killed_by_machine(exit_code: int | None, where: str) -> str | None:
    """Return what ended a process and what to do, where the machine ended it, else None.

    Args:
        exit_code: as multiprocessing gives it: -n for signal n.
        where: what was worked on.
    """
    words = SIGNALS.get(ending(exit_code))
    return None if words is None else f"{where}: the worker process was ended by {ending(exit_code)}, {words}"


def _words(error: BaseException, where: str) -> str | None:
    # torch and onnxruntime have no kind of their own for it
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return f"out of memory; {MEMORY}"
    if not isinstance(error, OSError):
        return None
    if "usable temporary directory" in str(error):  # of the module tempfile
        return f"no folder for temporary files has room; {ROOM}"
    remedy = REMEDIES.get(error.errno or 0)
    place = "" if error.filename is None or str(error.filename) == where else f"{error.filename}: "
    return None if remedy is None else f"{place}{error.strerror}; {remedy}"
