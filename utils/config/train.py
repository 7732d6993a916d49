"""The configuration of train.py."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from utils.config.audio import AudioConfig
from utils.config.fields import (
    MAX_SEED,
    FilePath,
    NameOrNumber,
    Number,
    OneOrMore,
    OptionalPath,
    OptionalText,
    Section,
    Text,
    Texts,
    one_as_tuple,
    setting,
)
from utils.config.job import Job
from utils.config.names import check_folder_name
from utils.config.pluggable import Pluggable
from utils.errors import ConfigError

USAGE = """\
Train a voice from a dataset that preprocess.py made.

  python train.py dataset.name=alice                      the defaults: model=lite, a good start
  python train.py dataset.name=alice pretrained=builtin   start from the base voice
  python train.py dataset.name=alice resume=last          continue
  python train.py dataset.name=alice debug=two_steps      try whether a configuration runs at all
  python train.py -m dataset.name=alice seed=1,2,3        a sweep, one run after the other; docs/guides/sweeps.md
  python train.py -m dataset.name=alice seed=1,2,3 hydra/launcher=slurm      ...side by side; docs/tutorials/cluster.md

Environment variables set keys too, beneath the command line: VOCLO_TRAINER__STEPS=500 is trainer.steps=500."""

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
BlockLength = Annotated[int, Field(ge=2, le=1000)]
BlockLengths = Annotated[tuple[BlockLength, ...], Field(min_length=1), BeforeValidator(one_as_tuple), OneOrMore]
SpeakerWeights = str | Number | dict[str, Number]


class DatasetChoice(Section):
    """The group `dataset`: what is trained on."""

    name: OptionalText = setting(None, "a folder in dataset.root made by preprocess.py; required")
    root: FilePath = setting("datasets", "folder of all datasets")

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_folder_name(self.name, "dataset.name", below=True)
        return self


class RunChoice(Section):
    """The section `run`: where the run is written."""

    name: OptionalText = setting(None, "folder in run.root; null: <dataset>_<class of the model>")
    root: FilePath = setting("runs", "folder of all runs")
    replace: bool = setting(False, "remove an earlier run of this name first, if that was made with it, too")

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_folder_name(self.name, "run.name", below=True)
        return self


class DataSettings(Section):
    """The section `data`: how clips become batches."""

    batch_size: int = setting("${pretrained.batch_size}", "clips per update, over all devices and micro-batches", ge=1)
    segment_frames: int | None = setting(100, "frames of each training segment; null: whole clips", unit="10 ms", ge=20)
    bucketing: bool = setting(True, "batches of clips of like length, padded to their longest only")
    speaker_weights: SpeakerWeights = setting(
        "natural", "by minutes; uniform; a number between (0 uniform, 1 natural); or factors {anna: 2}"
    )
    val_segment_frames: int = setting(600, "held-out clips are cut to at most this", unit="10 ms", ge=20)
    num_workers: int | None = setting(
        None, "processes that load data; 0: the training process; null: 0 on a processor, more for a GPU", ge=0
    )
    pin_memory: bool | None = setting(None, "load into memory that a GPU reads directly; null: where there is one")
    perturbed_share: Number = setting(0.5, "share of clips with formant- and pitch-shifted content", ge=0, le=1)
    block_share: Number = setting(
        0.0, "share of clips heard and generated in blocks alone, for hosts that keep no sound: docs/guides/hosts.md",
        ge=0, le=1,
    )  # fmt: skip
    block_lengths: BlockLengths = setting((10,), "of these blocks, one of them for each clip", unit="10 ms")
    repeat_batch: bool = setting(False, "every update has the first batch again: see debug=overfit")
    device_cache: bool = setting(False, "keep the whole dataset in the memory of the device; then no loading processes")


class RetrievalSettings(Section):
    """The section `retrieval`: the codebook of the voice's own frames."""

    codebook_size: int | None = setting(
        None, "entries per speaker; null: 2048, or 448 for each of several; 0: none", ge=0, le=65536
    )
    training_share: Number = setting(0.3, "share of clips whose content is blended with the codebook's", ge=0, le=1)


class LossSettings(Section):
    """The section `loss`: what the generator is trained towards."""

    objective: Literal["balanced", "hifigan", "refinegan", "sovits", "vits"] = setting(
        "balanced",
        "balanced: five resolutions, relative feature matching, means; hifigan: one log-mel, plain sums; refinegan: "
        "seven resolutions, plain sums; sovits: hifigan with frames of 512 samples; vits: hifigan with those of VITS",
    )
    longest_window: int = setting(
        2048, "of the balanced objective: n_fft of its first resolution, of which each further one has half",
        unit="samples", ge=1024, le=16384,
    )  # fmt: skip
    weights: dict[str, Number] = setting(
        {"spectral": 15.0, "adversarial": 1.0, "feature_matching": 2.0}, "factor of each part of the generator's loss"
    )
    adversarial_start: int = setting(0, "step from which the discriminator takes part", ge=0)
    adversarial_frames: int = setting(60, "frames of each segment that the discriminator sees; 0: all", ge=0)


class OptimSettings(Section):
    """The group `optim`: optimizer, learning rate, accumulation."""

    optimizer: Pluggable = setting(..., "class and arguments of the optimizer")
    schedule: Pluggable = setting(..., "how the learning rate moves: optim/schedule=<option>")
    warmup_steps: int = setting(20, "linear rise of the learning rate", unit="steps", ge=0)
    decay_all: bool = setting(False, "norms, biases and other vectors decay too")
    fused: bool | Literal["auto", "true", "false"] = setting("auto", "one kernel for all parameters; auto: where it is")
    accumulate: int = setting(1, "micro-batches that each device cuts its part of an update into", ge=1)
    clip_norm: Number = setting(10.0, "largest gradient norm of the generator", ge=1e-6)
    ema_decay: Number = setting(
        0.998, "decay of the averaged weights that are validated and exported; 0: off", ge=0, le=0.99999
    )


class TrainerSettings(Section):
    """The group `trainer`: length of the run, precision, devices."""

    steps: int = setting(20000, "generator updates", ge=1)
    epochs: int | None = setting(
        None, "the same in passes through the training clips, as other programs count; becomes trainer.steps", ge=1,
        example=300,
    )  # fmt: skip
    max_minutes: Number | None = setting(None, "stop after this time, whatever comes first", ge=0.01)
    validate_every: int = setting("${pretrained.validate_every}", "steps between two validations", ge=1)
    save_every: int = setting(250, "steps between two saved states; each validation saves too", ge=1)
    save_every_epochs: int | None = setting(None, "the same in epochs; becomes trainer.save_every", ge=1, example=10)
    log_every: int = setting(20, "steps between two points of the curves of training", ge=1)
    precision: Precision = setting(
        "auto", "of the networks' arithmetic; auto: bf16 where the device computes it itself"
    )
    accelerator: Text = setting(
        "auto", "auto (a CUDA GPU, else the processor), cpu, cuda, gpu, mps (Apple, 32 bits, untested)"
    )
    devices: int | str | list[int] = setting(1, "how many devices of each machine, or which")
    num_nodes: int = setting(1, "number of machines", ge=1)
    fit_memory: bool = setting(
        False, "when the device's memory does not suffice: smaller micro-batches, the same batch"
    )
    recompute: bool = setting(False, "compute blocks of the generator again: slower, less memory")
    detect_anomaly: bool = setting(False, "end at the operation whose gradient is not a number; slow")
    profile_steps: int = setting(0, "updates whose operations are listed in <run>/profile.txt; 0: none", ge=0)
    probe: bool = setting(False, "only measure memory and speed of smaller micro-batches, propose one and end")
    max_skipped: int = setting(20, "updates in a row that may be skipped because a gradient is not finite", ge=1)
    progress_bar: bool = setting(True, "one line: redrawn in a terminal, a new one every half minute in a file")
    media: bool = setting(True, "audio and plots for TensorBoard and the page at each validation")
    report: bool = setting(True, "report.html in the folder of the run, made anew after validations and at the end")
    compile: bool = setting(
        False, "torch.compile for both networks: minutes at the start, then faster on some machines"
    )
    channels_last: bool = setting(False, "the discriminator's 2-d convolutions keep channels side by side in memory")


class PretrainedSettings(Section):
    """The group `pretrained`: weights to start from."""

    generator: OptionalText = setting(None, "weights of the generator: .safetensors of ours or .pth of RVC")
    discriminator: OptionalText = setting(None, "weights of the discriminator")
    speakers: Text | list[int] | None = setting(
        None,
        "ours: mean, fitted (the mix nearest to the recordings), or all for the same speakers; .pth: rows such as "
        "[0,5], mean; null: the first",
    )
    fresh_posterior: bool = setting(
        False, "take a shared voice .pth, which lacks the posterior, and begin with a random one"
    )
    batch_size: int = setting(12, "what data.batch_size is unless given", ge=1)
    learning_rate: Number = setting(8.0e-4, "what optim.optimizer.lr is with optim=adamw unless given")
    half_life_steps: int = setting(5000, "steps in which that rate halves unless given", ge=1)
    validate_every: int = setting(500, "what trainer.validate_every is unless given", ge=1)
    validate_epochs: int = setting(
        0, "what it is where that is sooner, in passes through the training clips; 0: never", ge=0
    )


class OvertrainingSettings(Section):
    """The group `overtraining`: what happens when held-out recordings have become worse."""

    mode: Literal["stop", "warn", "off"] = setting("stop", "end the run, only say so, or do not look")
    smooth: int = setting(5, "validations behind a smoothed value", ge=1)
    patience: int = setting(3000, "steps that the held-out criterion has to be worse without a break", ge=1)
    min_improvement: Number = setting(0.01, "smallest change that counts, as a share of the best value", ge=0, le=0.5)
    plateau_patience: int | None = setting(None, "steps without a new best after which a run has stalled", ge=1)
    first_step: int = setting("${loss.adversarial_start}", "earlier validations do not count", ge=0)


class EvaluationSettings(Section):
    """The group `evaluation`: conversions that are judged while the run trains."""

    mode: Literal["background", "off"] = setting("background", "judge states in a process of low priority, or none")
    every: int = setting(1, "of the validations, each n-th is judged; one that comes too soon waits", ge=1)
    sources: OptionalPath = setting(
        None, "folder of recordings of other speakers; null: strangers are made of held-out sentences",
        example="recordings/others",
    )  # fmt: skip
    speaker: NameOrNumber = setting(0, "the target: name or number of a speaker of the dataset")
    most_sources: int = setting(4, "strangers that are converted", ge=1, le=100)
    most_held_out: int = setting(4, "held-out sentences of the target that are converted", ge=1, le=100)
    seconds: Number = setting(5.0, "each sound is cut to at most this", ge=1, le=30)
    evaluators: Texts = setting(
        ["resemblyzer", "ecapa", "whisper", "distillmos"], "of those and moonshine; what is not installed is named"
    )
    language: Text = setting("en", "of the sounds, two letters, for whisper")
    selects: bool = setting(
        False, "best.ckpt is the judged state with the best score, not that with the lowest val/mel"
    )


class TrainJob(Job):
    """A training: python train.py dataset.name=<name>."""

    config_name: ClassVar[str] = "train"
    usage: ClassVar[str] = USAGE
    # what users of RVC-WebUI and Applio type
    short_keys: ClassVar[dict[str, str]] = {
        "epochs": "trainer.epochs", "total_epoch": "trainer.epochs", "total_epochs": "trainer.epochs",
        "save_every_epoch": "trainer.save_every_epochs", "save_every_epochs": "trainer.save_every_epochs",
        "batch_size": "data.batch_size",
    }  # fmt: skip

    dataset: DatasetChoice
    run: RunChoice
    resume: OptionalText = setting(None, "continue the run from: last, previous, best, auto or a path of a checkpoint")
    resume_changed: bool = setting(False, "go on although settings differ that decide the numbers")
    seed: int = setting(1234, "seed of everything random", ge=0, le=MAX_SEED)
    data: DataSettings
    retrieval: RetrievalSettings
    loss: LossSettings
    audio: AudioConfig
    overtraining: OvertrainingSettings
    model: Pluggable = setting(..., "the generator")
    discriminator: Pluggable = setting(..., "the network it is trained against; none: the spectral loss alone")
    augmentation: Pluggable = setting(..., "random changes of training clips")
    pretrained: PretrainedSettings
    optim: OptimSettings
    trainer: TrainerSettings
    evaluation: EvaluationSettings
    logger: Pluggable = setting(
        ..., "a service that gets the figures too", texts=("project", "experiment_name", "tracking_uri")
    )

    @model_validator(mode="after")
    def _check_rates(self) -> Self:
        rate = self.model.arguments.get("sample_rate")
        if rate != self.audio.sample_rate:
            raise ConfigError(
                f"model.sample_rate={rate} must be audio.sample_rate={self.audio.sample_rate}; "
                "choose another audio=... group instead"
            )
        return self


def train_job(overrides: Sequence[str]) -> TrainJob:
    """Build the job of train.py from overrides as on its command line.

    Raises:
        ConfigError: in one line, naming the key, its value and what is allowed.
    """
    return TrainJob.from_overrides(overrides)
