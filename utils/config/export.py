"""The configuration of export_onnx.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, model_validator

from utils.config.blending import read_shares
from utils.config.fields import (
    FilePath,
    NameOrNumber,
    Number,
    OneOrMore,
    OptionalPath,
    OptionalText,
    Section,
    Text,
    Texts,
    WholeNumbers,
    one_as_tuple,
    section,
    setting,
)
from utils.config.job import Job, required
from utils.config.pluggable import CONTENT_TEXTS, PITCH_TEXTS, Pluggable
from utils.config.stored_objects import require_trust
from utils.errors import ConfigError

Kind = Literal["onnx", "rvc_webui", "wokada", "deiteris", "rvc_pth", "rvc_checkpoint", "rvc_report"]
GraphKind = Literal["audio_to_audio", "stream"]
PitchShift = Literal["auto", "auto_octave"] | Number
GraphKinds = Annotated[tuple[GraphKind, ...], BeforeValidator(one_as_tuple), OneOrMore]

USAGE = """\
Export a trained run as one ONNX graph from audio to audio, with a FAISS index and a card.

  python export_onnx.py run=runs/alice                                  at the model's own rate
  python export_onnx.py run=runs/alice name=alice export.rates=[44100,48000]   for devices of these rates
  python export_onnx.py run=runs/alice export.pitch_shift=-4   a fixed shift for runtimes without controls
  python export_onnx.py run=runs/alice export.pitch_shift=auto   the graph itself moves each input to the voice's pitch
  python export_onnx.py run=runs/alice export.graph_kinds=[audio_to_audio,stream]   and a graph for streams
  python export_onnx.py run=runs/alice_rvc export=wokada                     the generator for another program
  python export_onnx.py voice=bob.pth export=rvc_report                      what a .pth, .onnx, .index or run= holds
  python export_onnx.py run=runs/alice_rvc export=rvc_pth                    a voice that they load
  python export_onnx.py run=runs/alice_rvc export=rvc_checkpoint             a pair that they resume from
  python export_onnx.py "blend={runs/alice: 0.6, runs/bob: 0.4}" name=alba   a voice between two

Nothing is written to export.root unless every rule of the verification holds.

Environment variables set keys too, beneath the command line: VOCLO_EXPORT__ROOT=voices is export.root=voices."""
HINT = "python export_onnx.py run=runs/<run>"
FORMATS = ("export=rvc_webui", "export=wokada", "export=deiteris")  # the generator alone, for programs of RVC
PAIR = "export=rvc_checkpoint"
VOICE_SUFFIXES = (".pth", ".safetensors")  # of voices of other programs
REPORT = "export=rvc_report"
WRITING = ("export=onnx", *FORMATS, "export=rvc_pth", PAIR)
OF_ONNX = {"export": ("export=onnx",)}
OF_FORMATS = {"export": FORMATS}
OF_GENERATORS = {"export": ("export=onnx", *FORMATS)}
OF_ALL_BUT_REPORTS = {"export": WRITING}
OF_PAIRS = {"export": (PAIR,)}
OF_REPORTS = {"export": (REPORT,)}
OF_RUNS = {"source": ("run=",)}
OF_DATASETS = {"export": ("export=onnx",), "source": ("run=",)}
OF_STREAMS = {"export": ("export=onnx",), "graphs": ("export.graph_kinds=[stream]",)}


class ControlSettings(Section):
    """The section `export.defaults`: values of the graph's optional inputs where a runtime gives none."""

    pitch_shift: PitchShift = setting(
        "${export.pitch_shift}", "shift of the pitch, -36 to 36 or auto", unit="semitones", example=-5
    )
    index_rate: Number = setting(0.0, "share of content taken from the voice's own frames", ge=0, le=1)
    protect: Number = setting(0.33, "share of index_rate in unvoiced frames; 0.5: no protection", ge=0, le=0.5)
    loudness_mix: Number = setting(1.0, "1 keeps the level of the voice, 0 imposes that of the input", ge=0, le=1)
    automatic_f0: int | None = setting(
        None, "1: the pitch that the voice predicts, for speech; 0: the input's; null: as it was trained", ge=0, le=1
    )


class ExportSettings(Section):
    """The group `export`: what is written, and how it is made and proven."""

    kind: Kind = setting("onnx", "what is written: export=<option>")
    root: FilePath = setting("exports", "the voice is written to <root>/<name>", only_with=OF_ALL_BUT_REPORTS)
    rates: WholeNumbers | None = setting(
        None, "one graph for each; null: the rate of the model", unit="Hz", example="[44100,48000]", only_with=OF_ONNX
    )
    graph_kinds: GraphKinds = setting(
        ["audio_to_audio"], "audio_to_audio, any length; stream, block by block with a state", only_with=OF_ONNX
    )
    stream_block_ms: int = setting(20, "block of the streaming graph, a multiple of 20", only_with=OF_STREAMS)
    exporter: Literal["torchscript", "dynamo"] = setting("torchscript", "which exporter of PyTorch", only_with=OF_ONNX)
    controls: Literal["defaults", "inputs"] = setting(
        "defaults",
        "defaults: optional inputs; inputs: required ones, for runtimes that cannot set an optional one (OpenVINO)",
        only_with=OF_ONNX,
    )
    opset: int = setting(17, "version of the ONNX operators; dynamo: from 18 on", ge=17, le=20, only_with=OF_ONNX)
    precision: Literal["fp32", "fp16", "int8"] = setting(
        "fp32", "how the learned weights are stored", only_with=OF_GENERATORS
    )
    parity_tolerance: Number = setting(
        1.0e-4, "largest relative RMS difference between graph and PyTorch; above 0", le=0.1, only_with=OF_ONNX
    )
    verify_minutes: Number = setting(
        1.0, "length of the long recording that each graph converts; 0 leaves it out", ge=0, le=60, only_with=OF_ONNX
    )
    verify_blocks: int = setting(
        1000, "blocks of 100 ms over which memory must not grow; 0 leaves it out", ge=0, le=1_000_000, only_with=OF_ONNX
    )
    speaker: NameOrNumber | None = setting(
        None, "name or number of the speaker of a runtime without controls; null: the first", only_with=OF_ONNX
    )
    source: NameOrNumber | None = setting(
        None, "who speaks where a runtime without controls converts with model=vits_vc; null: the first",
        only_with=OF_ONNX,
    )  # fmt: skip
    pitch_shift: PitchShift = setting(
        0.0,
        "shift of the pitch for runtimes without controls, -36 to 36; auto: whole semitones from the median of what is "
        "fed to the voice's; auto_octave: whole octaves, for songs",
        unit="semitones",
        only_with=OF_ONNX,
    )
    defaults: ControlSettings = section(only_with=OF_ONNX)
    embedder: OptionalText = setting(
        None, "the program's name of the content encoder, for a voice that does not say", only_with=OF_FORMATS
    )
    resume_in: Literal["either", "rvc_webui", "applio"] = setting(
        "either", "which program will resume: also keep the generator's optimizer state for it", only_with=OF_PAIRS
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.stream_block_ms not in range(20, 1001, 20):
            raise ConfigError(
                f"export.stream_block_ms={self.stream_block_ms} is not possible; allowed: 20, 40, 60 ... 1000"
            )
        if not self.parity_tolerance > 0:
            words = "is out of range; allowed: above 0, at most 0.1"
            raise ConfigError(f"export.parity_tolerance={self.parity_tolerance:g} {words}")
        if not self.graph_kinds or len(set(self.graph_kinds)) < len(self.graph_kinds):
            words = "must name at least one, and each once"
            raise ConfigError(f"export.graph_kinds={list(self.graph_kinds)} {words}")
        if self.kind == "onnx" and self.exporter == "dynamo" and self.opset < 18:
            words = "set export.opset=18 or choose torchscript"
            raise ConfigError(f"export.exporter=dynamo cannot make opset {self.opset}; {words}")
        return self


class ForeignSettings(Section):
    """The section `rvc`: what the file of voice= does not say itself."""

    f0_convention: Literal["zero_unvoiced", "interpolated"] | None = setting(
        None, "what its f0 held in unvoiced frames; asked for where it is unknown"
    )
    embedder: OptionalText = setting(None, "name of the content encoder it was trained with; null: what the file says")
    speakers: WholeNumbers | None = setting(None, "rows of its speaker table to keep; null: all", example="[0]")
    cluster: OptionalPath = setting(
        None, "kmeans_<count>.pt or feature_and_index.pkl of So-VITS-SVC, what index_rate blends in"
    )


class IndexSettings(Section):
    """The group `retrieval`: the index beside the graph, and the codebook in it."""

    kind: Literal["flat", "ivf", "ivf_pq", "hnsw"] = setting("ivf", "kind of the index: retrieval=<option>")
    max_vectors: int = setting(300_000, "more training frames than this are reduced to so many by k-means", ge=1)
    target_recall: Number = setting(
        0.99, "share of the true 8 nearest neighbours that a search finds, measured on held-out frames", ge=0.5, le=1
    )
    code_bytes: int | None = setting(None, "bytes of a vector, for ivf_pq; null: one for four values", ge=1, example=64)
    seed: int = setting(0, "seed of every clustering")
    codebook_size: int | None = setting(
        None, "entries per speaker inside the graph; null: the run's codebook; 0: none", ge=0, le=65536, example=2048
    )


class ExportJob(Job):
    """A voice to be exported: python export_onnx.py run=runs/<run>."""

    config_name: ClassVar[str] = "export"
    usage: ClassVar[str] = USAGE

    run: OptionalPath = setting(None, "folder that train.py made; this or voice")
    voice: OptionalPath = setting(
        None,
        "a shared voice .pth of RVC-WebUI or Applio; give its encoder, too; export=rvc_report also takes .onnx, .index",
    )
    report: OptionalPath = setting(None, "JSON file of what is found", example="bob.json", only_with=OF_REPORTS)
    blend: OptionalText = setting(
        None, "voices of one kind, or with run= or voice= speakers of one, and their shares; in quotes",
        example='"{a.pth: 0.6, b.pth: 0.4}"', only_with=OF_ALL_BUT_REPORTS,
    )  # fmt: skip
    index: OptionalPath = setting(
        None, "the .index of voice=: its frames become the codebook in the graph, for index_rate",
        only_with={"export": ("export=onnx",), "source": ("voice=",)},
    )  # fmt: skip
    checkpoint: Literal["best", "last", "previous"] = setting(
        "best", "the best by validation, the last, or the one before the last", only_with=OF_RUNS
    )
    name: OptionalText = setting(
        None, "name of the voice and of its folder; null: the name of the run's folder", only_with=OF_ALL_BUT_REPORTS
    )
    dataset: OptionalPath = setting(
        None, "the prepared dataset's folder, where it is no longer where the run found it", only_with=OF_DATASETS
    )
    licence: Text = setting(
        "not stated", "licence of the voice; written into graph and card", only_with=OF_ALL_BUT_REPORTS
    )
    consent: Text = setting(
        "not stated", "whose voice it is and what they agreed to; written there too", only_with=OF_ALL_BUT_REPORTS
    )
    trust: Texts = setting(
        [], "packages or classes of your own that a run may name; nothing else of a file is ever imported",
        example="[my_package]", only_with=OF_RUNS,
    )  # fmt: skip
    export: ExportSettings
    rvc: ForeignSettings = section(only_with=OF_GENERATORS)
    retrieval: IndexSettings = section(only_with=OF_DATASETS)
    content: Pluggable | None = setting(None, "content encoder of voice=", only_with=OF_ONNX, texts=CONTENT_TEXTS)
    pitch: Pluggable | None = setting(
        None, "pitch tracker of voice=; null: builtin", only_with=OF_ONNX, texts=PITCH_TEXTS
    )

    @property
    def use(self) -> str:
        """What is asked for, as a user types it."""
        return f"export={self.export.kind}"

    @property
    def uses(self) -> dict[str, str]:
        """What is asked for, by what settings may depend on."""
        streams = "stream" in self.export.graph_kinds
        return {
            "export": self.use,
            "source": "voice=" if self.voice or self.blends_files else "run=",
            "graphs": "export.graph_kinds=[stream]" if streams else "the graph for recordings alone",
        }

    @property
    def shares(self) -> dict[str, float]:
        """What is blended, by path or speaker; empty without blend=."""
        return read_shares(self.blend) if self.blend else {}

    @property
    def blends_files(self) -> bool:
        """Whether voices of other programs are blended."""
        return not (self.run or self.voice) and any(name.lower().endswith(VOICE_SUFFIXES) for name in self.shares)

    @property
    def run_folder(self) -> Path:
        """The run."""
        return required("run", self.run, HINT)

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        require_trust(self.trust)
        if self.run and self.voice:
            raise ConfigError(f"run={self.run} and voice={self.voice} are given; export one of them")
        self._check_blend()
        is_graph = self.use in ("export=onnx", *FORMATS)
        if self.voice and not is_graph and self.use != REPORT:
            raise ConfigError(f"{self.use} writes a run of train.py; give run=<folder> instead of voice=")
        chosen = [key for key in ("content", "pitch") if getattr(self, key)]
        if chosen and self.use in FORMATS:
            raise ConfigError(
                f"{chosen[0]}= has no place in {self.use}, whose program computes its own; leave it out, or type "
                "export=onnx"
            )
        foreign = [f"rvc.{key}" for key, value in self.rvc if value is not None] + chosen
        if foreign and is_graph and not (self.voice or self.blends_files):
            raise ConfigError(f"{foreign[0]} belongs to voice=<file.pth>; a run knows its own")
        if self.voice and self.use == "export=onnx" and self.retrieval.codebook_size is not None:
            raise ConfigError("retrieval.codebook_size needs a run with its dataset; a voice= has no recordings")
        return self

    def _check_blend(self) -> None:
        if not self.shares:
            return
        if self.use == PAIR:
            raise ConfigError(
                f"{self.use} writes what a training was at; a blend was never trained, type export=rvc_pth"
            )
        files = [name for name in self.shares if name.lower().endswith(VOICE_SUFFIXES)]
        if self.blends_files and len(files) < len(self.shares):
            other = next(name for name in self.shares if name not in files)
            raise ConfigError(
                f"blend={self.blend}: {files[0]} is a file of another program, {other} is none; blend files, or runs"
            )
        if self.retrieval.codebook_size or self.dataset:
            key = "dataset" if self.dataset else "retrieval.codebook_size"
            raise ConfigError(f"{key} does nothing with blend=, which has the codebooks of its voices; leave it out")


def export_job(overrides: Sequence[str]) -> ExportJob:
    """Build the job of export_onnx.py from overrides as on its command line.

    Raises:
        ConfigError: in one line, naming the key, its value and what is allowed.
    """
    return ExportJob.from_overrides(overrides)
