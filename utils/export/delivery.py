"""Export a voice: graphs, index and cards, delivered together or not at all."""

from dataclasses import replace
from pathlib import Path

from models.conversion import AudioConverter, Retrieval
from models.layers.automatic_pitch import AutomaticPitch
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError
from utils.export.analysis import name_remarks
from utils.export.blended_runs import load_blended_voice
from utils.export.card import CARD, CARD_TEXT, files_of_card, write_cards
from utils.export.codebook import rebuilt_retrieval, refuse_lost_codebook, retrieval_of_index
from utils.export.description import describe
from utils.export.graph_kinds import ExportedGraph, GraphJob, find_graph_kind
from utils.export.outcome import ExportOutcome
from utils.export.plans import ExportPlan
from utils.export.report import next_step
from utils.export.retrieval import WrittenIndex, write_index
from utils.export.rvc.imported_voice import explain_import, load_imported_voice
from utils.export.staging import move_into_place, staging_folder
from utils.export.training_data import excerpts, open_training_data
from utils.training.checkpoints import TrainedVoice, load_voice
from utils.voice_file.controls import SPECIAL_CONTROLS, ControlDefaults, refuse_idle_controls
from utils.voice_file.geometry import FileGeometry, geometry_at
from utils.voice_file.kinds import STREAM
from utils.voice_file.metadata import VoiceMetadata
from utils.voice_file.speakers import speaker_number


def export_voice(plan: ExportPlan) -> ExportOutcome:
    """Make, verify and deliver a voice; nothing is written when a rule fails.

    Raises:
        ConfigError: if the run, its dataset or a setting cannot be used.
        ExportError: if the network cannot be traced.
    """
    voice = _load(plan)
    has_recordings = not (plan.imported or plan.blend)
    store = open_training_data(plan, voice) if has_recordings else None
    refuse_lost_codebook(plan.run if has_recordings else None, plan.codebook_size, voice)
    plan = _with_defaults(plan, voice)
    target = plan.root / plan.name
    earlier = files_of_card(target)
    with staging_folder(target, _file_names(plan, voice)) as folder:
        voice = _with_codebook(plan, voice, store)
        refuse_idle_controls(plan.asked, voice.converter.idle_controls | _absent(voice), "the voice")
        index = _write_index(plan, voice, store, folder)
        graphs = [_make(plan, voice, item, store, folder) for item in _descriptions(plan, voice, index)]
        origin = tuple(explain_import(voice)) if plan.imported else ()
        outcome = ExportOutcome(folder=target, graphs=graphs, index=index, origin=origin)
        if outcome.failures:
            return outcome
        write_cards(folder, graphs, index)
        files = move_into_place(folder, target, lambda path: path.name in earlier)
    remarks = name_remarks(index.path) if index is not None else []
    return replace(outcome, files=files, notes=(*(f"note: {remark}" for remark in remarks), next_step(files)))


def _load(plan: ExportPlan, io_rate: int | None = None) -> TrainedVoice:
    if plan.imported is not None:
        # the retrieval is the same at every rate, and made once
        once = plan.imported if io_rate is None else replace(plan.imported, cluster=None)
        return load_imported_voice(once, io_rate)
    assert plan.run is not None
    if plan.blend is not None:
        return load_blended_voice(
            plan.run, plan.checkpoint, plan.blend, io_rate, trust=plan.trust, with_codebook=plan.codebook_size is None
        )
    return load_voice(plan.run, plan.checkpoint, io_rate, trust=plan.trust, with_codebook=plan.codebook_size is None)


def _with_defaults(plan: ExportPlan, voice: TrainedVoice) -> ExportPlan:
    """Return a plan whose defaults are the chosen speakers, by number, and the pitch that the voice was trained for."""
    chosen: dict[str, int] = {}
    if plan.speaker is not None:
        chosen["speaker_id"] = speaker_number(plan.speaker, voice.speakers, "export.speaker", "this voice")
    elif plan.blend is not None and plan.blend.kind == "speakers":
        chosen["speaker_id"] = len(voice.speakers) - 1  # the blend
    if plan.source is not None:
        if "source_id" in _absent(voice):
            raise ConfigError(
                f"export.source={plan.source} does nothing: the voice takes anybody's speech; leave it out"
            )
        chosen["source_id"] = speaker_number(plan.source, voice.speakers, "export.source", "this voice")
    if plan.automatic_f0 is None and "automatic_f0" not in _absent(voice):
        chosen["automatic_f0"] = int(getattr(voice.model, "automatic_f0", False))
    return replace(plan, defaults=replace(plan.defaults, **chosen))


def _absent(voice: TrainedVoice) -> frozenset[str]:
    """Return the names of the controls that other voices have and this one lacks."""
    return frozenset(item.name for item in SPECIAL_CONTROLS) - frozenset(voice.converter.special_controls)


def _with_codebook(plan: ExportPlan, voice: TrainedVoice, store: CorpusStore | None) -> TrainedVoice:
    """Return a voice with a codebook of the size that is asked for, or of an index that came with it."""
    if plan.imported is not None and plan.imported.index is not None:
        retrieval = retrieval_of_index(
            plan.imported.index, num_speakers=len(voice.speakers), dim=voice.model.content_dim, seed=plan.index.seed
        )
        return replace(voice, converter=_with_retrieval(voice.converter, retrieval))
    if store is None or plan.codebook_size is None or voice.model.reads_audio:
        return voice
    rebuilt = rebuilt_retrieval(store, plan.codebook_size, seed=plan.index.seed)
    return replace(voice, converter=_with_retrieval(voice.converter, rebuilt))


def _with_retrieval(
    converter: AudioConverter,
    retrieval: Retrieval | None,
    defaults: ControlDefaults | None = None,
    automatic_pitch: AutomaticPitch | None = None,
) -> AudioConverter:
    """Return a converter with another retrieval and other values for controls that are NaN."""
    parts = converter.generator, converter.frontend, retrieval, converter.resampler
    return AudioConverter(
        *parts, defaults=defaults, highpass=converter.highpass, automatic_pitch=automatic_pitch
    ).eval()


def _automatic_pitch(plan: ExportPlan, metadata: VoiceMetadata) -> AutomaticPitch | None:
    """Return what chooses the pitch_shift of export.pitch_shift=auto.

    Raises:
        ConfigError: if nobody knows the pitch of a speaker.
    """
    if plan.pitch_step is None:
        return None
    unknown = [speaker.name for speaker in metadata.speakers if not speaker.f0_median_hz > 0]
    if unknown:
        raise ConfigError(
            f"export.pitch_shift is automatic, and the median pitch of {unknown[0]!r} is not known; give semitones"
        )
    return AutomaticPitch([speaker.f0_median_hz for speaker in metadata.speakers], plan.pitch_step)


def _write_index(plan: ExportPlan, voice: TrainedVoice, store: CorpusStore | None, folder: Path) -> WrittenIndex | None:
    if store is None or voice.model.reads_audio:
        return None
    return write_index(store, plan.index, voice.converter.retrieval, folder / f"{plan.name}.index")


def _descriptions(plan: ExportPlan, voice: TrainedVoice, index: WrittenIndex | None) -> list[VoiceMetadata]:
    """Return what each graph says of itself: one for each rate and kind."""
    digest = index.sha256 if index else None
    return [
        describe(plan, voice, geometry, graph_kind=kind, index_sha256=digest)
        for geometry in _geometries(plan, voice)
        for kind in plan.graph_kinds
    ]


def _make(
    plan: ExportPlan, voice: TrainedVoice, metadata: VoiceMetadata, store: CorpusStore | None, folder: Path
) -> ExportedGraph:
    # Read anew for each graph: the front end is built for one rate.
    converter = _load(plan, metadata.sample_rate).converter
    return find_graph_kind(metadata.flavour).make(
        GraphJob(
            converter=_with_retrieval(
                converter, voice.converter.retrieval, plan.defaults, _automatic_pitch(plan, metadata)
            ),
            metadata=metadata,
            defaults=plan.defaults,
            options=plan.options,
            folder=folder,
            tolerance=plan.tolerance,
            recordings=excerpts(store, metadata.sample_rate),
            extent=plan.extent,
            precision=plan.precision,
            stream_block_ms=plan.stream_block_ms,
        )
    )


def _geometries(plan: ExportPlan, voice: TrainedVoice) -> list[FileGeometry]:
    model_rate, n_fft = voice.model.sample_rate, int(voice.config["audio"]["n_fft"])
    rates = dict.fromkeys(plan.rates or (model_rate,))
    return [geometry_at(plan.name, rate, model_rate=model_rate, model_n_fft=n_fft) for rate in rates]


def _file_names(plan: ExportPlan, voice: TrainedVoice) -> list[str]:
    graphs = [
        replace(geometry, is_stream=kind == STREAM).file_name
        for geometry in _geometries(plan, voice)
        for kind in plan.graph_kinds
    ]
    has_index = not (plan.imported or plan.blend or voice.model.reads_audio)
    return [*graphs, *[f"{plan.name}.index"] * has_index, CARD, CARD_TEXT]
