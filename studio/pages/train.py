"""A dataset becomes a voice: three ways in words, every setting by search, and what it sounds like meanwhile."""

from collections import ChainMap
from pathlib import Path

from nicegui import app, run, ui

from studio import commands
from studio.clips import play_state
from studio.components import (
    choice_field,
    go_button,
    number_field,
    radio_field,
    show_command,
    start_button,
    switch_field,
    text_field,
)
from studio.forecast import forecast
from studio.jobs import Job
from studio.jobview import job_panel
from studio.setting_search import changed_settings, setting_search
from studio.shell import heading
from studio.texts import Texts
from studio.workspace import Seen, Workspace
from utils.reports.curves import read_table
from utils.training.forecast import Forecast
from utils.training.listening import HeardClip, ListeningFolder

CURVES = ("val/mel", "train/generator/spectral")
MOST_CLIPS = 6


def show(workspace: Workspace, say: Texts) -> None:
    """Show the fields, the button, curves and sounds."""
    draft = app.storage.general
    dataset = choice_field(say("train.dataset"), "train.dataset", workspace.datasets())
    if not workspace.datasets():
        ui.link(say("train.no_datasets"), "/data")
    name = text_field(say("train.run"), "train.run", str(draft.get("train.dataset") or "my_voice"))
    presets = {preset: say(f"train.preset_{preset}") for preset in commands.PRESETS}
    radio_field(say("train.preset"), "train.preset", presets, "tonight")
    minutes = number_field(say("train.minutes"), "train.minutes", 60, min=commands.SHORTEST_MINUTES, step=5)
    cost = ui.label().classes("studio-quiet")
    again = switch_field(say("train.continue"), "train.continue")
    again.bind_visibility_from(draft, "train.run", lambda run_name: run_name in workspace.begun_runs())
    switch_field(say("train.judge"), "train.judge")
    found = setting_search(say, "train.settings", "train", lambda: commands.PRESETS[draft["train.preset"]])

    def make() -> commands.Command | None:
        if not draft["train.dataset"]:
            return None
        run_name = str(draft["train.run"] or "").strip()
        goes_on = draft["train.continue"] and run_name in workspace.begun_runs()
        build = commands.resume if goes_on else commands.train
        settings = ["evaluation=background"] * bool(draft["train.judge"]) + changed_settings("train.settings")
        return build(draft["train.dataset"], run_name, draft["train.preset"], draft["train.minutes"], settings)

    fields = ChainMap({"dataset.name": dataset, "run.name": name, "trainer.max_minutes": minutes}, found)
    start_button(workspace, say, say("train.start"), make, lambda: say("train.job", name=draft["train.run"]), fields)
    show_command(say, make)

    async def refresh_cost() -> None:
        text = await run.io_bound(forecast, workspace.folder, draft["train.minutes"], say)
        if not cost.is_deleted:  # the page may have been left meanwhile
            cost.set_text(text)

    ui.timer(0.1, refresh_cost, once=True)
    ui.timer(3.0, refresh_cost)
    job_panel(workspace, say, is_training, lambda seen: _after(say, seen))
    _live(workspace, say)


def is_training(job: Job) -> bool:
    """Whether a job trains."""
    return job.script == "train.py"


def _run_of(seen: Seen | None) -> str:
    arguments = dict(argument.partition("=")[::2] for argument in seen.job.arguments[1:]) if seen else {}
    return arguments.get("run.name", "")


def _after(say: Texts, seen: Seen) -> None:
    chosen = {
        "deliver.from": "run",
        "deliver.run": _run_of(seen),
        "deliver.name": _run_of(seen),
        "listen.run": _run_of(seen),
    }
    with ui.row():
        go_button(say("train.next"), "/deliver", chosen)
        go_button(say("train.listen"), "/listen", chosen)


def _live(workspace: Workspace, say: Texts) -> None:
    """Show the curves of the newest training and the newest conversions, as they are made."""
    area = ui.column().classes("w-full")
    with area:
        told = ui.label().classes("studio-quiet").style("white-space: pre-line")
        heading(say("train.curves"))
        chart = ui.echart(_options({})).classes("w-full").style("height: 16rem")
        chart.props(f'role=img aria-label="{say("train.curves")}"')
        said = ui.label().classes("studio-quiet").props("aria-live=polite")
        sounds = ui.column().classes("w-full")
    shown: list[object] = [None, None]

    async def refresh() -> None:
        run_name = _run_of(workspace.latest(is_training))
        folder = workspace.folder / "runs" / run_name
        area.set_visibility(bool(run_name) and (folder / "config.yaml").is_file())
        if not area.visible:
            return
        text = await run.io_bound(_forecast, say, folder)
        table = await run.io_bound(read_table, folder / "metrics.csv")
        clips = await run.io_bound(ListeningFolder(folder).clips)
        if area.is_deleted:
            return
        told.set_text(text)
        key = (run_name, *(len(table.get(name, ())) for name in CURVES))
        if key != shown[0]:
            shown[0] = key
            chart.options.clear()
            chart.options.update(_options({say(f"curve.{name}"): table[name] for name in CURVES if name in table}))
            chart.update()
            held_out = table.get(CURVES[0], [])
            said.set_text(
                say("train.held_out", step=held_out[-1][0], value=f"{held_out[-1][1]:.4f}") if held_out else ""
            )
        if clips != shown[1]:
            shown[1] = clips
            sounds.clear()
            with sounds:
                heading(say("train.sounds")) if clips else None
                for clip in clips[:MOST_CLIPS]:
                    _clip(workspace, say, ListeningFolder(folder), clip)

    ui.timer(0.1, refresh, once=True)
    ui.timer(2.0, refresh)


def _forecast(say: Texts, folder: Path) -> str:
    """Return what a training itself said after its first updates."""
    found = Forecast.read(folder)
    lines = [f"{what}: {how}" for what, how in found.lines] if found else []
    return "\n".join([say("train.forecast_own"), *lines] if lines else [])


def _clip(workspace: Workspace, say: Texts, folder: ListeningFolder, clip: HeardClip) -> None:
    """Show a clip's recordings and its newest conversion."""
    ui.label(clip.title).classes("text-weight-bold")
    made = [state for state in clip.states if state.step is not None]
    for state in [state for state in clip.states if state.step is None] + made[-1:]:
        play_state(workspace, say, folder, clip, state)


def _options(curves: dict[str, list[tuple[int, float]]]) -> dict[str, object]:
    axis = {"type": "value", "scale": True}
    return {
        "animation": False,
        "textStyle": {"color": "#888"},
        "legend": {"top": 0, "textStyle": {"color": "#888"}},
        "grid": {"left": 50, "right": 50, "top": 40, "bottom": 30},
        "xAxis": {"type": "value", "min": "dataMin", "max": "dataMax"},
        "yAxis": [axis, {**axis, "splitLine": {"show": False}}],
        "series": [
            {
                "name": name, "type": "line", "yAxisIndex": number, "symbolSize": 5 if number == 0 else 0,
                "data": [list(point) for point in points],
            }
            for number, (name, points) in enumerate(curves.items())
        ],
    }  # fmt: skip
