"""Run exported voices with onnxruntime and numpy; imports no torch."""

from utils.inference.conversion import VoiceConversionPipeline
from utils.inference.history import HistoryStream
from utils.inference.session import VoiceSession
from utils.inference.stream import StreamSession

__all__ = ["HistoryStream", "StreamSession", "VoiceConversionPipeline", "VoiceSession"]
