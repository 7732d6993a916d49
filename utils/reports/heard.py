"""Sounds of a run for its page: the states of its clips, as ListeningFolder keeps them."""

import itertools
from collections.abc import Sequence

import numpy as np

from utils.errors import DataError
from utils.reports.sections import Comparison
from utils.reports.sounds import Group, Sound, SoundMaker
from utils.training.listening import HeardClip, HeardState, ListeningFolder

MOST_STATES = 8  # of a clip on a page
MOST_CLIPS = 8


def heard_groups(folder: ListeningFolder, maker: SoundMaker, chosen: int | None) -> list[Group]:
    """Return a group for each clip: its recordings, and its conversions by some states, the chosen one among them.

    Args:
        folder: of the run.
        maker: of the sounds.
        chosen: step of the state in best.ckpt.
    """
    groups = []
    for clip in folder.clips()[:MOST_CLIPS]:
        sounds = [_sound(folder, state, maker, clip, chosen) for state in shown_states(clip.states, chosen)]
        heard = [sound for sound in sounds if sound is not None]
        if heard:
            note = (
                "a stranger's recording, converted"
                if clip.kind == "stranger"
                else "a recording of the speaker that was kept out of the training, and what the voice makes of it"
            )
            groups.append(Group(clip.title, heard, note))
    return groups


def shown_states(states: Sequence[HeardState], chosen: int | None) -> list[HeardState]:
    """Return the recordings and at most MOST_STATES conversions, evenly spread; first, chosen and newest are kept."""
    recorded = [state for state in states if state.step is None]
    made = [state for state in states if state.step is not None]
    if len(made) <= MOST_STATES:
        return [*recorded, *made]
    kept = {int(index) for index in np.linspace(0, len(made) - 1, MOST_STATES - 1).round()}
    kept |= {index for index, state in enumerate(made) if state.step == chosen}
    return [*recorded, *(made[index] for index in sorted(kept))]


def comparisons_of(groups: Sequence[Group]) -> list[Comparison]:
    """Return the pairs of each group that a blind test can be about: all but the source, each with the next one."""
    found = []
    for number, group in enumerate(groups):
        sounds = [sound for sound in group.sounds if sound.role != "source"]
        pairs = list(itertools.pairwise(sounds))
        if len(sounds) > 2:
            pairs.append((sounds[0], sounds[-1]))
        for index, (first, second) in enumerate(pairs):
            title = f"{group.title}: {first.label} or {second.label}"
            ends = ((sound.label, sound.identifier) for sound in (first, second))
            found.append(Comparison(f"pair{number}_{index}", title, *ends))
    return found


def _sound(
    folder: ListeningFolder, state: HeardState, maker: SoundMaker, clip: HeardClip, chosen: int | None
) -> Sound | None:
    label, role = _label(state, clip, chosen), state.role
    steps = [item.step for item in clip.states if item.step is not None]
    with_picture = state.step is None or state.step in (chosen, steps[0], steps[-1])
    try:
        return maker.of_file(folder.folder / state.file, label, role, with_picture=with_picture)
    except (OSError, DataError):
        return None  # a run that goes on may have thinned its sounds meanwhile


def _label(state: HeardState, clip: HeardClip, chosen: int | None) -> str:
    if state.step is None:
        return "recorded" if clip.kind == "held_out" else state.role
    return f"step {state.step}" + (" (chosen)" if state.step == chosen else "")
