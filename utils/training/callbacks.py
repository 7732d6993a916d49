"""Lightning callbacks: progress in steps, history, pictures and sounds for TensorBoard."""

import logging
import time
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from torch import Tensor

from models.adversarial import AdversarialTraining
from utils.audio.batch import VoiceBatch
from utils.config import AudioConfig

log = logging.getLogger(__name__)
TRANSPOSED_SEMITONES = 4.0


class StepProgressBar(TQDMProgressBar):
    """One bar over the whole run, counted in generator updates."""

    def __init__(self, *, total_steps: int) -> None:
        super().__init__(refresh_rate=10)
        self.total_steps = total_steps

    def init_validation_tqdm(self) -> Any:
        """Hide the bar of validation, which would break the line of training."""
        bar = super().init_validation_tqdm()
        bar.disable = True
        return bar

    def on_train_epoch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Show all steps of the run instead of the batches of an epoch."""
        module = trainer.lightning_module
        assert isinstance(module, AdversarialTraining)
        self.train_progress_bar.reset(total=self.total_steps)
        self.train_progress_bar.initial = module.steps
        self.train_progress_bar.n = module.steps
        self.train_progress_bar.set_description("steps")

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Move the bar to the number of updates done."""
        module = trainer.lightning_module
        assert isinstance(module, AdversarialTraining)
        if module.steps % self.refresh_rate == 0 or module.steps == self.total_steps:
            self.train_progress_bar.n = module.steps
            self.train_progress_bar.set_postfix(self.get_metrics(trainer, module))

    def get_metrics(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> dict[str, Any]:
        """Return the losses without Lightning's version number."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


class HistoryRecorder(Callback):
    """Keep the validation figure of each round: step, seconds of training in all, val/mel."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.started = time.monotonic()

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Append one row."""
        assert isinstance(pl_module, AdversarialTraining)
        value = trainer.callback_metrics.get("val/mel")
        if value is not None and not trainer.sanity_checking:
            seconds = round(time.monotonic() - self.started, 1)
            self.rows.append({"step": pl_module.steps, "seconds": seconds, "val/mel": float(value)})

    def state_dict(self) -> dict[str, Any]:
        """Return the rows for the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows of an earlier part of the run."""
        self.rows = list(state_dict["rows"])
        if self.rows:
            self.started = time.monotonic() - self.rows[-1]["seconds"]


class MediaLogger(Callback):
    """Show the same held-out clips at each validation: real, rebuilt and transposed audio, and mel spectrograms.

    Args:
        audio: settings of the mel spectrograms.
        num_clips: clips to show.
    """

    def __init__(self, audio: AudioConfig, *, num_clips: int = 2) -> None:
        from utils.audio.spectral import LogMelSpectrogram

        self.audio, self.num_clips = audio, num_clips
        self.mel = LogMelSpectrogram(
            sample_rate=audio.sample_rate,
            n_fft=audio.n_fft,
            hop_length=audio.hop_length,
            n_mels=audio.n_mels,
            f_min=audio.f_min,
            f_max=audio.f_max,
        )

    @torch.no_grad()
    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: VoiceBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the first clips of the first validation batch."""
        if batch_idx > 0 or trainer.sanity_checking or trainer.logger is None:
            return
        assert isinstance(pl_module, AdversarialTraining)
        writer = trainer.logger.experiment  # type: ignore[attr-defined]
        voice, step = pl_module.voice, pl_module.steps
        for index in range(min(self.num_clips, len(batch.audio))):
            frames = int(batch.num_frames[index])
            content, f0_hz, loudness_db = (
                value[index : index + 1, :frames] for value in (batch.content, batch.f0_hz, batch.loudness_db)
            )
            speaker = batch.speaker_id[index : index + 1]
            rebuilt = voice.inference(content, f0_hz, loudness_db, speaker)[0].float().cpu()
            transposed_hz = f0_hz * 2 ** (TRANSPOSED_SEMITONES / 12)
            shifted = voice.inference(content, transposed_hz, loudness_db, speaker)[0].float().cpu()
            real = batch.audio[index, : len(rebuilt)].cpu()
            rate = self.audio.sample_rate
            if step <= trainer.val_check_batch or pl_module.global_step == 0:  # type: ignore[operator]
                writer.add_audio(f"clip{index}/real", real.clamp(-1, 1), step, rate)
            writer.add_audio(f"clip{index}/converted", rebuilt.clamp(-1, 1), step, rate)
            label = f"clip{index}/converted_up_{TRANSPOSED_SEMITONES:g}_semitones"
            writer.add_audio(label, shifted.clamp(-1, 1), step, rate)
            writer.add_image(f"clip{index}/mel_real_above_converted", self._picture(real, rebuilt), step)

    def _picture(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return an image [1, height, width] in 0..1: two spectrograms, low frequencies at the bottom."""
        pictures = [self.mel.cpu()(audio[None])[0].flip(0) for audio in (real, fake)]
        joined = torch.cat([pictures[0], torch.zeros(2, pictures[0].shape[1]), pictures[1]])
        low, high = -11.0, 2.0
        return ((joined - low) / (high - low)).clamp(0, 1).unsqueeze(0)
