"""The public side of benchmarks/rvc_speed.py: networks, losses and mel processing of a checkout of RVC-WebUI.

Its training script takes its settings from the command line when it is imported, so the order of its step is written
here: discriminator step, discriminator again, generator step.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.rvc_speed_worker import HOP, N_FFT, SAMPLE_RATE, Reply, make_inputs, peak_mib, serve, timed
from scripts.pipeline import ROOT


class Public:
    """Answers of the public side.

    Args:
        folder: the checkout.
        device: "cpu" or "cuda".
        seed: of weights, inputs and random numbers.
    """

    def __init__(self, folder: Path, device: str, seed: int) -> None:
        # its package `train` would be hidden by our script of that name
        sys.path = [str(folder), *(entry for entry in sys.path if entry and Path(entry).resolve() != ROOT)]
        names = ("infer.module.models", "infer.module.commons", "train.losses", "train.mel_processing")
        self.models, self.commons, self.losses, self.mel = (importlib.import_module(name) for name in names)
        self.settings: dict[str, Any] = json.loads((folder / "configs/v2/48k.json").read_text(encoding="utf-8"))
        self.frames = self.settings["train"]["segment_size"] // HOP
        self.device, self.seed = device, seed

    def prepare(self, batch: int, frames: int) -> Reply:
        """Build networks and inputs for training."""
        torch.manual_seed(self.seed)
        self.generator = self._generator().to(self.device)
        self.discriminator = self.models.MultiPeriodDiscriminatorV2(False).to(self.device)
        train = self.settings["train"]
        rates = {"lr": train["learning_rate"], "betas": tuple(train["betas"]), "eps": train["eps"]}
        self.generator_optimizer = torch.optim.AdamW(self.generator.parameters(), **rates)
        self.discriminator_optimizer = torch.optim.AdamW(self.discriminator.parameters(), **rates)
        inputs = make_inputs(batch, frames, self.seed, self.device)
        self.content, self.f0_hz, audio = inputs
        self.audio = audio.unsqueeze(1)
        self.spectrum = self.mel.spectrogram_torch(audio, N_FFT, SAMPLE_RATE, HOP, N_FFT)
        self.coarse = coarse_pitch(self.f0_hz)
        self.lengths = torch.full((batch,), frames, device=self.device)
        self.speaker = torch.zeros(batch, dtype=torch.int64, device=self.device)
        return {}

    def step(self) -> Reply:
        """Do one training step."""
        timing, mel = timed(self._step, self.device)
        return {**timing._asdict(), "mel": mel, "peak_mib": peak_mib()}

    def _step(self) -> float:
        made, first, _, mask, latents = self.generator(
            self.content, self.lengths, self.coarse, self.f0_hz, self.spectrum, self.lengths, self.speaker
        )
        _, latent, prior_mean, prior_log_std, _, log_std = latents
        bands = self.settings["data"]["n_mel_channels"]
        whole = self.mel.spec_to_mel_torch(self.spectrum, N_FFT, bands, SAMPLE_RATE, 0.0, None)
        target_mel = self.commons.slice_segments(whole, first, self.frames)
        made_mel = self.mel.mel_spectrogram_torch(
            made.float().squeeze(1), N_FFT, bands, SAMPLE_RATE, HOP, N_FFT, 0.0, None
        )
        audio = self.commons.slice_segments(self.audio, first * HOP, self.frames * HOP)
        real_scores, fake_scores, _, _ = self.discriminator(audio, made.detach())
        loss, _, _ = self.losses.discriminator_loss(real_scores, fake_scores)
        self.discriminator_optimizer.zero_grad()
        loss.backward()
        self.commons.clip_grad_value_(self.discriminator.parameters(), None)
        self.discriminator_optimizer.step()
        _, fake_scores, real_maps, fake_maps = self.discriminator(audio, made)
        mel = torch.nn.functional.l1_loss(target_mel, made_mel)
        total = (
            self.losses.generator_loss(fake_scores)[0]
            + self.losses.feature_loss(real_maps, fake_maps)
            + self.settings["train"]["c_mel"] * mel
            + self.settings["train"]["c_kl"] * self.losses.kl_loss(latent, log_std, prior_mean, prior_log_std, mask)
        )
        self.generator_optimizer.zero_grad()
        total.backward()
        self.commons.clip_grad_value_(self.generator.parameters(), None)
        self.generator_optimizer.step()
        return float(mel.detach())

    def prepare_conversion(self, frames: int) -> Reply:
        """Make a voice as its inference does: without the posterior, in evaluation mode."""
        torch.manual_seed(self.seed)
        self.voice = self._generator()
        del self.voice.enc_q
        self.voice.eval()
        self.inputs = make_inputs(1, frames, self.seed, "cpu")
        return {}

    @torch.no_grad()
    def convert(self) -> Reply:
        """Convert the inputs once."""
        content, f0_hz, _ = self.inputs
        lengths, speaker = torch.tensor([content.shape[1]]), torch.zeros(1, dtype=torch.int64)
        coarse = coarse_pitch(f0_hz)
        timing, found = timed(lambda: self.voice.infer(content, lengths, coarse, f0_hz, speaker)[0], "cpu")
        return {**timing._asdict(), "samples": int(found.shape[2]), "peak_mib": peak_mib()}

    def _generator(self) -> Any:
        model = self.settings["model"]
        return self.models.SynthesizerTrnMs768NSFsid(
            N_FFT // 2 + 1, self.frames, **model, is_half=False, sr=SAMPLE_RATE
        )


def coarse_pitch(f0_hz: Tensor) -> Tensor:
    """Return the pitch in the published 255 bins."""
    mel, low, high = (1127 * torch.log1p(torch.as_tensor(hz) / 700) for hz in (f0_hz, 50.0, 1100.0))
    return torch.round(((mel - low) * 254 / (high - low) + 1).clamp(1, 255)).to(torch.int64)


def main() -> None:
    """Serve the requests of benchmarks/rvc_speed.py."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    public = Public(options.folder.resolve(), options.device, options.seed)
    serve({call.__name__: call for call in (public.prepare, public.step, public.prepare_conversion, public.convert)})


if __name__ == "__main__":
    main()
