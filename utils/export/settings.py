"""The settings of export_onnx.py: what kind of value each has, and which exports read it."""

from collections.abc import Collection
from typing import Any

from utils.config.settings import Setting, as_list, check_kinds, refuse_idle
from utils.voice_file.rvc_formats import RVC_FORMATS

ONNX, REPORT = "export=onnx", "export=rvc_report"
GENERATORS = tuple(f"export={name}" for name in RVC_FORMATS)
PAIR = "export=rvc_checkpoint"
FILES = ("export=rvc_pth", PAIR)
WRITING = (ONNX, *GENERATORS, *FILES)

SETTINGS = (
    Setting("export", "section", "export=onnx"),
    Setting("export.kind", "text", "export=onnx"),
    Setting("retrieval", "section", "retrieval=ivf", read_by=(ONNX,)),
    Setting("rvc", "section", "{}", read_by=(ONNX, *GENERATORS)),
    Setting("run", "text", "runs/alice", is_optional=True, read_by=WRITING),
    Setting("voice", "text", "bob.pth", is_optional=True),
    Setting("checkpoint", "text", "best", read_by=WRITING),
    Setting("name", "text", "alice", is_optional=True, read_by=WRITING),
    Setting("dataset", "text", "datasets/alice", is_optional=True, read_by=(ONNX,)),
    Setting("licence", "text", "CC-BY-4.0", read_by=WRITING),
    Setting("consent", "text", "her own voice", read_by=WRITING),
    Setting("content", "section", "content=contentvec", is_optional=True, read_by=(ONNX,)),
    Setting("pitch", "section", "pitch=builtin", is_optional=True, read_by=(ONNX,)),
    Setting("export.root", "text", "exports", read_by=WRITING),
    Setting("export.rates", "whole numbers", "[44100,48000]", is_optional=True, read_by=(ONNX,)),
    Setting("export.flavours", "texts", "[audio_to_audio]", read_by=(ONNX,)),
    Setting("export.stream_block_ms", "whole number", "20", read_by=(ONNX,)),
    Setting("export.exporter", "text", "torchscript", read_by=(ONNX,)),
    Setting("export.opset", "whole number", "17", read_by=(ONNX,)),
    Setting("export.precision", "text", "fp32", read_by=(ONNX, *GENERATORS)),
    Setting("export.parity_tolerance", "number", "1e-4", read_by=(ONNX,)),
    Setting("export.verify_minutes", "number", "1", read_by=(ONNX,)),
    Setting("export.verify_blocks", "whole number", "1000", read_by=(ONNX,)),
    Setting("export.speaker", "text or number", "alice", is_optional=True, read_by=(ONNX,)),
    Setting("export.pitch_shift", "number", "-5", read_by=(ONNX,)),
    Setting("export.defaults", "section", "{protect: 0.33}", read_by=(ONNX,)),
    Setting("export.defaults.pitch_shift", "number", "-5", read_by=(ONNX,)),
    Setting("export.defaults.index_rate", "number", "0.5", read_by=(ONNX,)),
    Setting("export.defaults.protect", "number", "0.33", read_by=(ONNX,)),
    Setting("export.defaults.loudness_mix", "number", "1", read_by=(ONNX,)),
    Setting("export.embedder", "text", "hubert_base", is_optional=True, read_by=GENERATORS),
    Setting("export.resume_in", "text", "either", read_by=(PAIR,)),
    Setting("rvc.f0_convention", "text", "zero_unvoiced", is_optional=True, read_by=(ONNX, *GENERATORS)),
    Setting("rvc.embedder", "text", "contentvec", is_optional=True, read_by=(ONNX, *GENERATORS)),
    Setting("rvc.speakers", "whole numbers", "[0]", is_optional=True, read_by=(ONNX, *GENERATORS)),
    Setting("retrieval.kind", "text", "ivf", read_by=(ONNX,)),
    Setting("retrieval.max_vectors", "whole number", "300000", read_by=(ONNX,)),
    Setting("retrieval.target_recall", "number", "0.99", read_by=(ONNX,)),
    Setting("retrieval.code_bytes", "whole number", "64", is_optional=True, read_by=(ONNX,)),
    Setting("retrieval.seed", "whole number", "0", read_by=(ONNX,)),
    Setting("retrieval.codebook_size", "whole number", "2048", is_optional=True, read_by=(ONNX,)),
)
# what depends on other settings than export=
OF_RUNS = tuple(Setting(key, "text", "", read_by=("run=",)) for key in ("checkpoint", "dataset", "retrieval"))
OF_STREAMS = (Setting("export.stream_block_ms", "whole number", "20", read_by=("export.flavours=[stream]",)),)


def check_settings(plain: dict[str, Any]) -> None:
    """Refuse values of a wrong kind and unknown keys.

    Raises:
        ConfigError: in one line that names the key.
    """
    section = plain.get("export")
    check_kinds(plain, SETTINGS, f"export={section.get('kind') if isinstance(section, dict) else None}")


def refuse_unread(plain: dict[str, Any], given: Collection[str]) -> None:
    """Refuse typed keys that have no effect on what is exported.

    Args:
        plain: the resolved configuration, after check_settings.
        given: keys that command line and environment set.
    Raises:
        ConfigError: in one line that names the key.
    """
    refuse_idle(given, SETTINGS, f"export={plain['export']['kind']}")
    if plain["voice"]:
        refuse_idle(given, OF_RUNS, "voice=")
    if "stream" not in as_list(plain["export"].get("flavours")):
        refuse_idle(given, OF_STREAMS, "the graph for recordings alone")
