"""Teach a light voice what another voice makes of recordings: the teacher of preprocess.py dataset.teacher=<voice>."""

from utils.distillation.voice_teacher import open_teacher

__all__ = ["open_teacher"]
