"""RVC v2 with the vocoders of Applio in place of HiFi-GAN; everything before the decoder is RVC's."""

from typing import ClassVar

from models.layers.mrf_decoder import MrfDecoder
from models.layers.refinegan_decoder import RefineGanDecoder
from models.layers.rvc_decoder import SourceDecoder
from models.rvc import RVCModel


class MrfModel(RVCModel):
    """RVC with the vocoder "MRF HiFi-GAN"; arguments as in RVCModel."""

    decoder: ClassVar[type[SourceDecoder]] = MrfDecoder


class RefineGanModel(RVCModel):
    """RVC with the vocoder "RefineGAN"; arguments as in RVCModel."""

    decoder: ClassVar[type[SourceDecoder]] = RefineGanDecoder
    forms: ClassVar[dict[str, str]] = RVCModel.forms | {"graph": "models.export_forms.rvc.refinegan_in_graph"}
