"""Clips that a run keeps for listening, on a page."""

from studio.components import player
from studio.texts import Texts
from studio.workspace import Workspace
from utils.training.listening import HeardClip, HeardState, ListeningFolder


def state_name(say: Texts, clip: HeardClip, state: HeardState) -> str:
    """Return what a sound of a clip is, in words."""
    if state.step is not None:
        return say("role.step", step=state.step)
    return say("role.recorded") if clip.kind == "held_out" else say(f"role.{state.role}")


def play_state(
    workspace: Workspace, say: Texts, folder: ListeningFolder, clip: HeardClip, state: HeardState, before: str = ""
) -> None:
    """Show a sound of a clip that can be played; `before` stands in front of its name."""
    player(workspace, folder.folder / state.file, before + state_name(say, clip, state))
