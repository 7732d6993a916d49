"""The public side of benchmarks/sovits_speed.py: networks, losses and mel processing of a checkout of So-VITS-SVC.

Its training script wants CUDA when it is called, so the order of its step is written here: discriminator step,
discriminator again, generator step.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.interop_worker import Absent
from benchmarks.rvc_speed_worker import Reply, make_inputs, peak_mib, serve, timed
from scripts.pipeline import ROOT

HIDDEN = ("utils", "models")  # packages of ours whose names are also those of its modules


class Public:
    """Answers of the public side.

    Args:
        folder: the checkout.
        seed: of weights, inputs and random numbers.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        sys.path = [str(folder), *(entry for entry in sys.path if entry and Path(entry).resolve() != ROOT)]
        for name in [name for name in sys.modules if name.split(".")[0] in HIDDEN]:
            del sys.modules[name]
        sys.meta_path.append(Absent(folder))  # it also imports what draws pictures, which no step needs
        names = ("models", "modules.commons", "modules.losses", "modules.mel_processing")
        self.models, self.commons, self.losses, self.mel = (importlib.import_module(name) for name in names)
        path = folder / "configs_template/config_template.json"
        self.settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        data, train = self.settings["data"], self.settings["train"]
        self.hop, self.n_fft, self.rate = data["hop_length"], data["filter_length"], data["sampling_rate"]
        self.bands = (data["n_mel_channels"], data["mel_fmin"], data["mel_fmax"])
        self.frames = train["segment_size"] // self.hop
        self.seed = seed

    def prepare(self, batch: int, frames: int) -> Reply:
        """Build networks and inputs for training; frames are ours, 100 a second."""
        torch.manual_seed(self.seed)
        train, model = self.settings["train"], self.settings["model"]
        self.generator = self.models.SynthesizerTrn(self.n_fft // 2 + 1, self.frames, **model)
        self.discriminator = self.models.MultiPeriodDiscriminator(model["use_spectral_norm"])
        rates = {"lr": train["learning_rate"], "betas": tuple(train["betas"]), "eps": train["eps"]}
        self.generator_optimizer = torch.optim.AdamW(self.generator.parameters(), **rates)
        self.discriminator_optimizer = torch.optim.AdamW(self.discriminator.parameters(), **rates)
        content, f0_hz, audio = make_inputs(batch, frames, self.seed, "cpu", self.rate)
        count = audio.shape[1] // self.hop
        picked = torch.arange(count) * frames // count
        audio = audio[:, : count * self.hop]
        self.audio, self.content = audio.unsqueeze(1), content[:, picked].transpose(1, 2).contiguous()
        self.voiced = (f0_hz[:, picked] > 0).float()
        self.f0_hz = f0_hz.amax(dim=1, keepdim=True).repeat(1, count)
        self.spectrum = self.mel.spectrogram_torch(audio, self.n_fft, self.rate, self.hop, self.n_fft)
        self.lengths = torch.full((batch,), count)
        self.speaker = torch.zeros(batch, 1, dtype=torch.int64)
        self.generator.train()
        self.discriminator.train()
        return {}

    def step(self) -> Reply:
        """Do one training step."""
        timing, mel = timed(self._step, "cpu")
        return {**timing._asdict(), "mel": mel, "peak_mib": peak_mib()}

    def _step(self) -> float:
        bands, low, high = self.bands
        whole = self.mel.spec_to_mel_torch(self.spectrum, self.n_fft, bands, self.rate, low, high)
        made, first, mask, latents, predicted, _, log_f0 = self.generator(
            self.content, self.f0_hz, self.voiced, self.spectrum, g=self.speaker, c_lengths=self.lengths,
            spec_lengths=self.lengths, vol=None,
        )  # fmt: skip
        _, latent, prior_mean, prior_log_std, _, log_std = latents
        target_mel = self.commons.slice_segments(whole, first, self.frames)
        made_mel = self.mel.mel_spectrogram_torch(
            made.squeeze(1), self.n_fft, bands, self.rate, self.hop, self.n_fft, low, high
        )
        audio = self.commons.slice_segments(self.audio, first * self.hop, self.frames * self.hop)
        real_scores, fake_scores, _, _ = self.discriminator(audio, made.detach())
        loss: Tensor = self.losses.discriminator_loss(real_scores, fake_scores)[0]
        self._update(self.discriminator, self.discriminator_optimizer, loss)
        _, fake_scores, real_maps, fake_maps = self.discriminator(audio, made)
        mel = torch.nn.functional.l1_loss(target_mel, made_mel)
        train = self.settings["train"]
        total = (
            self.losses.generator_loss(fake_scores)[0]
            + self.losses.feature_loss(real_maps, fake_maps)
            + train["c_mel"] * mel
            + train["c_kl"] * self.losses.kl_loss(latent, log_std, prior_mean, prior_log_std, mask)
            + torch.nn.functional.mse_loss(predicted, log_f0)
        )
        self._update(self.generator, self.generator_optimizer, total)
        return float(mel.detach())

    def _update(self, network: Any, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        self.commons.clip_grad_value_(network.parameters(), None)
        optimizer.step()


def main() -> None:
    """Serve the requests of benchmarks/sovits_speed.py."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    public = Public(options.folder.resolve(), options.seed)
    serve({call.__name__: call for call in (public.prepare, public.step)})


if __name__ == "__main__":
    main()
