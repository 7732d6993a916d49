"""Our side of benchmarks/rvc_speed.py and sovits_speed.py: a voice as its experiment trains it and it is exported."""

import argparse
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from benchmarks.rvc_speed_worker import (
    CONTENT_DIM,
    HOP,
    NUM_SPEAKERS,
    SAMPLE_RATE,
    Reply,
    SpeechInputs,
    make_inputs,
    peak_mib,
    serve,
    timed,
)
from models.adversarial import AdversarialTraining
from models.conversion import AudioConverter
from utils.audio.batch import VoiceBatch
from utils.audio.resample import RationalResampler
from utils.config.train import TrainJob, train_job
from utils.export.graph import build_graph
from utils.export.tracing import GraphOptions
from utils.training.devices import keep_freed_memory
from utils.training.losses import MelDistance, build_spectral_loss
from utils.training.optimizers import build_optimizer
from utils.voice_file.controls import ControlDefaults


class PlainTraining(AdversarialTraining):
    """The training step without Lightning's loop around it."""

    def prepare(self) -> None:
        """Make the optimizers that the loop would make."""
        self.own_optimizers, self.own_schedules = self.configure_optimizers()
        self.on_fit_start()

    def optimizers(self, use_pl_optimizer: bool = True) -> Any:
        """Return generator's and discriminator's."""
        return self.own_optimizers

    def lr_schedulers(self) -> Any:
        """Return generator's and discriminator's."""
        return self.own_schedules

    def log(self, *args: Any, **kwargs: Any) -> None:
        """Keep nothing."""

    def log_dict(self, dictionary: Any, *args: Any, **kwargs: Any) -> None:
        """Keep the metrics of the last step."""
        self.metrics = dict(dictionary)


class GivenFeatures(nn.Module):
    """In place of content encoder and pitch tracker: one linear layer, so that the generator is what is timed."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(HOP, CONTENT_DIM)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return content, f0_hz and loudness_db for audio [B, F * HOP]."""
        content = 10 * self.project(audio.reshape(audio.shape[0], -1, HOP))
        f0_hz = 150 + 10 * content[:, :, 0]
        return content, f0_hz, torch.full_like(f0_hz, -20.0)


class Ours:
    """Answers of our side.

    Args:
        precision: "fp32" or "bf16".
        device: "cpu" or "cuda".
        threads: for the exported graph.
        seed: of weights, inputs and random numbers.
        experiment: what is trained; rvc_v2_48k is also converted with.
    """

    def __init__(self, precision: str, device: str, threads: int, seed: int, experiment: str = "rvc_v2_48k") -> None:
        self.experiment = experiment
        self.precision, self.device, self.threads, self.seed = precision, device, threads, seed
        self.training: PlainTraining | None = None
        self.batch: VoiceBatch | None = None

    def prepare(self, batch: int, frames: int) -> Reply:
        """Build networks and inputs for training."""
        if self.device == "cpu":
            keep_freed_memory()
        torch.manual_seed(self.seed)
        config = train_job([f"experiment={self.experiment}", "dataset.name=none"])
        precision = "bf16-mixed" if self.precision == "bf16" else "32-true"
        self.training = build_step(config, self.seed, precision).to(self.device)
        self.training.prepare()
        self.batch = as_batch(make_inputs(batch, frames, self.seed, self.device, config.audio.sample_rate))
        return {}

    def step(self) -> Reply:
        """Do one training step."""
        assert self.training is not None and self.batch is not None
        training, batch = self.training, self.batch
        timing, _ = timed(lambda: training.training_step(batch, 0), self.device)
        metrics = {name.removeprefix("train/"): float(value) for name, value in training.metrics.items()}
        return {**timing._asdict(), "mel": metrics["generator/spectral"], "metrics": metrics, "peak_mib": peak_mib()}

    def gradient_agreement(self) -> Reply:
        """Return how far the gradients of one step with and without cuDNN are apart, relative to their norm."""
        assert self.training is not None and self.batch is not None
        training, batch = self.training, self.batch
        found = []
        for enabled in (True, False):
            training.zero_grad()
            with torch.backends.cudnn.flags(enabled=enabled):
                training.backward_all(batch, is_adversarial=True)
            found.append(
                {name: value.grad.clone() for name, value in training.named_parameters() if value.grad is not None}
            )
        training.zero_grad()
        apart = {
            name: float((value - found[1][name]).norm() / (found[1][name].norm() + 1e-12))
            for name, value in found[0].items()
        }
        worst = max(apart, key=lambda name: apart[name])
        return {"worst": apart[worst], "parameter": worst, "median": float(np.median(list(apart.values())))}

    def prepare_conversion(self, frames: int) -> Reply:
        """Export the voice; return how far the graph is from the network."""
        self.training = None
        torch.manual_seed(self.seed)
        config = train_job(["experiment=rvc_v2_48k", "dataset.name=none"])
        network = config.model.build(content_dim=CONTENT_DIM, num_speakers=1)
        resampler = RationalResampler(SAMPLE_RATE, SAMPLE_RATE)
        converter = AudioConverter(network, GivenFeatures(), None, resampler).requires_grad_(False).eval()
        graph = build_graph(
            converter, sample_rate=SAMPLE_RATE, defaults=ControlDefaults(), options=GraphOptions(), metadata={}
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=providers)
        self.audio = make_inputs(1, frames, self.seed, "cpu").audio.numpy()
        return {}

    def convert(self) -> Reply:
        """Convert the inputs once."""
        timing, found = timed(lambda: self.session.run(None, {"audio": self.audio})[0], "cpu")
        return {**timing._asdict(), "samples": int(found.shape[1]), "peak_mib": peak_mib()}

    @torch.no_grad()
    def prior(self, frames: int) -> Reply:
        """Run the prior alone over many frames."""
        config = train_job(["experiment=rvc_v2_48k", "dataset.name=none"])
        network = config.model.build(content_dim=CONTENT_DIM, num_speakers=1).enc_p.eval()
        content, f0_hz = torch.randn(1, frames, CONTENT_DIM), torch.full((1, frames), 150.0)
        network(content[:, :100], f0_hz[:, :100])
        before = peak_mib()
        timing, _ = timed(lambda: network(content, f0_hz), "cpu")
        return {**timing._asdict(), "peak_mib": peak_mib(), "more_mib": peak_mib() - before}


def build_step(job: TrainJob, seed: int, precision: str) -> PlainTraining:
    """Put together what `train` would, without a dataset."""
    return PlainTraining(
        generator=job.model.build(content_dim=CONTENT_DIM, num_speakers=NUM_SPEAKERS),
        discriminator=job.discriminator.build(),
        spectral_loss=build_spectral_loss(job.loss.objective, job.audio),
        validation_loss=MelDistance(job.audio),
        optimizer=build_optimizer(job.optim, precision),
        precision=precision,
        schedule=lambda step: 1.0,
        loss_weights=dict(job.loss.weights),
        objective=job.loss.objective,
        clip_norm=job.optim.clip_norm,
        ema_decay=job.optim.ema_decay,
        seed=seed,
    )


def as_batch(inputs: SpeechInputs) -> VoiceBatch:
    """Return the batch that the corpus would give."""
    count, frames = inputs.f0_hz.shape
    device = inputs.f0_hz.device
    return VoiceBatch(
        audio=inputs.audio,
        content=inputs.content,
        f0_hz=inputs.f0_hz,
        loudness_db=torch.full((count, frames), -20.0, device=device),
        speaker_id=torch.zeros(count, dtype=torch.int64, device=device),
        num_frames=torch.full((count,), frames, device=device),
        segment=torch.arange(count, device=device),
    )


def main() -> None:
    """Serve the requests of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", choices=("fp32", "bf16"), required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--experiment", default="rvc_v2_48k")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    ours = Ours(options.precision, options.device, options.threads, options.seed, options.experiment)
    calls = (ours.prepare, ours.step, ours.gradient_agreement, ours.prepare_conversion, ours.convert, ours.prior)
    serve({call.__name__: call for call in calls})


if __name__ == "__main__":
    main()
