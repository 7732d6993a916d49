"""How many of the sounds of speech a voice's recordings hold: clusters of content vectors that they visit.

The sounds are the centres of clusters of many speakers' content (recipes/content_sounds.py).
"""

from pathlib import Path

import numpy as np
from safetensors import safe_open

from utils.corpus.store import CorpusStore
from utils.features.identity import weights_of_features
from utils.shipped import ROOT

FILE = ROOT / "utils" / "features" / "weights" / "content_sounds.safetensors"
SOUNDS, ENCODER = "sounds", "encoder_sha256"
LEAST_FRAMES = 5  # of a sound that counts as visited: 50 ms
LOUD_DB = -45.0  # frames below are pauses; recordings are brought to about -23 dB
MOST_CLIPS = 400  # of a speaker, evenly spread: half an hour


def coverage(store: CorpusStore, speaker: str, path: Path = FILE) -> float | None:
    """Return the share of the sounds that a speaker's recordings visit; None where their content is of another encoder.

    Args:
        store: the dataset.
        speaker: whose recordings.
        path: file of the sounds.
    """
    with safe_open(path, "np") as file:
        sounds, encoder = file.get_tensor(SOUNDS).astype(np.float32), file.metadata()[ENCODER]
    if encoder not in weights_of_features(store.description.content.identity):
        return None
    clips = [clip for clip in store.clips if clip.speaker == speaker]
    places = np.unique(np.linspace(0, len(clips) - 1, min(MOST_CLIPS, len(clips))).round().astype(int))
    counts = np.zeros(len(sounds), int)
    for clip in (clips[place] for place in places):
        content = store.feature("content", clip)[store.feature("loudness_db", clip) > LOUD_DB]
        # vectors of ours have one length: the nearest is the one of the largest product
        counts += np.bincount((content @ sounds.T).argmax(axis=1), minlength=len(sounds))
    return float(np.mean(counts >= LEAST_FRAMES))
