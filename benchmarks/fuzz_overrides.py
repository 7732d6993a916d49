"""Command lines and variables of the environment that somebody could mistype, for all four scripts."""

import contextlib
import io
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.fuzzing import Trial
from utils.config import run_script
from utils.config.fields import fields_of
from utils.config.help import keys_of
from utils.config.job import Job
from utils.config.places import CONFIG_FOLDER, options_of
from utils.config.roots import JOBS
from utils.errors import ConfigError

VALUES = (
    "", "null", "true", "3", "-1", "0", "2.5", "1e400", "nan", "-inf", "007", "1_000", "abc", "[]", "[1,2]", "[a,[b]]",
    "{}", "{a: 1}", "{a: {b: ${seed}}}", "a,b", "1,2,3", "range(1,5)", "interval(1,2)", "choice(a,b)",
    "glob(*)",
    "${nope}", "${seed}", "${oc.env:NOPE}", "${oc.env:HOME}", "${}", "${", "}", "$", "${oc.decode:[}", "録音",
    "Žofie (2)", "a b",
    "'", '"', "'a", "\\", "a\\'b", "'a' 'b'", "x" * 5000, "../../x", "/", "~", "~root/x", "C:\\x", "a=b", "a:b", "#",
    "%s", "\t", "a\nb", "\udce9", "999999999999999999999999", "0x10", "1j", "None", "@", "?",
    "???", "+", "!!python/object:os.system x", "&a [*a]",
)  # fmt: skip
FLAGS = (
    "--resolve", "--cfg", "--cfg=job", "--info", "--help", "-h", "--version", "-m", "--multirun", "--package", "-p",
    "--config-name", "--config-name=nope", "--config-path=/nope", "--config-dir=/nope", "--hydra-help", "--run", "-r",
    "--experimental-rerun=x", "-x", "--steps=3", "--trainer.steps", "--", "-", "--cfg job", "-sc", "--shell-completion",
    "--info config", "--cfg job --resolve",
)  # fmt: skip
HYDRA = (
    "hydra.job.name", "hydra.sweep.dir", "hydra.verbose", "hydra.mode", "hydra.launcher", "hydra/launcher",
    "hydra/sweeper", "hydra.run.dir", "hydra.sweeper.params", "hydra.job.config", "hydra", "hydra.nope", "hydra/nope",
    "hydra.output_subdir",
)  # fmt: skip
NEEDED = {  # what a script refuses to do without
    "report": ("run=runs/x",),
    "live": ("devices=true",),
    "say": ("text=Hello", "voice=x.onnx"),
    "cover": ("vocals=a.wav", "instrumental=b.wav", "voice=x.onnx"),
}
ALPHABET = "abcdefghijklmnopqrstuvwxyz._/=+~@,:$ {}[]()'\"\\0123456789éß録-"


def trials(seed: int, work: Path) -> Iterator[Trial]:
    """Yield command lines without end; nothing of them is carried out."""
    drawn = random.Random(seed)
    tables = {name: (job, _keys(job)) for name, job in JOBS.items()}
    place = work / "overrides"
    place.mkdir(parents=True, exist_ok=True)
    while True:
        name = drawn.choice(sorted(tables))
        job, keys = tables[name]
        words = [_word(drawn, keys) for _ in range(drawn.choice((1, 1, 1, 2, 3)))]
        if drawn.random() < 0.15:
            words = [*drawn.choice(FLAGS).split(" "), *words]
        variables = {}
        if drawn.random() < 0.1:
            key = _misspelled(drawn, drawn.choice(keys)) if drawn.random() < 0.3 else drawn.choice(keys)
            variables["VOCLO_" + key.upper().replace(".", "__").replace("/", "__")] = drawn.choice(VALUES)
        variables = {key: value for key, value in variables.items() if "\0" not in key + value and "=" not in key}
        yield Trial(f"{name} {words} {variables or ''}", _reader(job, words, variables, place))


def _keys(job: type[Job]) -> list[str]:
    config = job.compose(with_hydra=True)
    choices = {str(key): str(value) for key, value in config.hydra.runtime.choices.items()}
    plain: Any = job.from_overrides(NEEDED.get(job.config_name, ())).to_plain()
    paths = [key.path for key in keys_of(job, plain, choices)]
    return [
        *(key for key, _ in fields_of(job)),
        *paths,
        *(group for group in choices if (CONFIG_FOLDER / group).is_dir()),
    ]


def _word(drawn: random.Random, keys: list[str]) -> str:
    kind = drawn.random()
    if kind < 0.06:
        return "".join(drawn.choice(ALPHABET) for _ in range(drawn.randint(1, 25)))
    key = drawn.choice(HYDRA) if kind < 0.12 else drawn.choice(keys)
    if drawn.random() < 0.3:
        key = _misspelled(drawn, key)
    options = options_of(key) if "\0" not in key and (CONFIG_FOLDER / key).is_dir() else []
    value = drawn.choice(options) if options and drawn.random() < 0.4 else drawn.choice(VALUES)
    mark = drawn.choice(("", "", "", "", "", "", "+", "++", "~"))
    return drawn.choice((f"{mark}{key}={value}",) * 12 + (f"{mark}{key}", f"{key} = {value}", f"{key}@x={value}"))


def _misspelled(drawn: random.Random, key: str) -> str:
    place = drawn.randrange(len(key))
    return drawn.choice((
        key[:place] + key[place + 1 :], key[:place] + drawn.choice("abcxyz._") + key[place:], key.upper(), key + "s",
        key + ".x", key.rpartition(".")[2], "trainer." + key, key[:place], key.replace("_", "-"), key + ".0",
    ))  # fmt: skip


def _reader(job: type[Job], words: list[str], variables: dict[str, str], place: Path) -> Callable[[], bool | None]:
    def read() -> bool | None:
        os.chdir(place)
        os.environ |= variables
        sys.argv = ["script.py", *words]
        said, shown = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(shown):
                run_script(job, lambda job: 0.0)
        except SystemExit as stop:
            if stop.code in (0, None):  # --hydra-help
                return True
            lines = [line for line in said.getvalue().splitlines() if line.strip()]
            told = [
                line for line in lines if line.startswith(("error:", "from the environment", "no keys of", "VOCLO_"))
            ]
            if stop.code == 2 and lines and len(lines) <= len(told) + 1:  # a hint may stand on a line of its own
                raise ConfigError(lines[-1]) from None
            raise
        return True

    return read
