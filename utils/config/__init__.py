"""Configuration: Hydra composes, typed models validate once; behind them nothing sees what Hydra made.

The jobs of the scripts stand in utils.config.preprocess, .train, .export and .test_model.
"""

from utils.config.audio import AudioConfig, audio_config
from utils.config.composing import given_keys, select, to_plain, to_yaml
from utils.config.fields import MAX_SEED
from utils.config.job import required
from utils.config.pluggable import Pluggable
from utils.config.script import run_script
from utils.config.stored_text import from_yaml

__all__ = [
    "MAX_SEED", "AudioConfig", "Pluggable", "audio_config", "from_yaml", "given_keys",
    "required", "run_script", "select", "to_plain", "to_yaml",
]  # fmt: skip
