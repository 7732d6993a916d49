"""From a trained run, or a voice of another program, to verified files."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from utils.config.export import ExportJob
    from utils.export.outcome import ExportOutcome

# torch and onnx take seconds, which --help must not wait for: they are imported where they are used
HINT = "python export_onnx.py voice=<file.pth> export=rvc_report"


def export(job: "ExportJob") -> "ExportOutcome":
    """Export a voice: as graphs of this workbench, or as a graph or files of another program.

    Returns:
        What was verified and written; nothing was written where a rule failed, see `failures`.
    Raises:
        ConfigError: if the run, its dataset, a file or a setting cannot be used.
        FormatError: if a file is damaged.
        ExportError: if the network cannot become a graph.
    """
    from utils.config import required
    from utils.export.outcome import ExportOutcome
    from utils.export.plans import plan_export, plan_files, plan_generator
    from utils.voice_file.rvc_formats import RVC_FORMATS

    if job.export.kind == "onnx":
        from utils.export.delivery import export_voice

        return export_voice(plan_export(job))
    if job.export.kind in RVC_FORMATS:
        from utils.export.rvc.generators import export_generator

        return export_generator(plan_generator(job))
    if job.export.kind == "rvc_report":
        from utils.export.analyse import analyse
        from utils.files import atomic_write_json

        given = job.run or required("voice", job.voice, HINT)
        analysis = analyse(job.voice, job.run, job.checkpoint, job.trust)
        if job.report is not None:
            atomic_write_json(job.report, analysis.to_plain())
        written = () if job.report is None else (job.report,)
        return ExportOutcome(folder=given.parent, files=written, notes=tuple(analysis.lines()))
    from utils.export.rvc.files import export_files

    return export_files(plan_files(job))
