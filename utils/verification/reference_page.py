"""Write the table of the rules that listen into docs/reference: python -m utils.verification.reference_page"""

from pathlib import Path

from utils.verification import amount_rules as amounts
from utils.verification import sound_rules as sound
from utils.verification import speech_rules as speech
from utils.verification.rules import LISTENING, RULES
from utils.verification.utterances import HIGHEST_HARMONIC_HZ

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "verification_rules.md"
BEGIN, END = "<!-- from the rules: python -m utils.verification.reference_page -->", "<!-- end -->"
LIMITS = {
    "content": (
        f"correlation with the source: timbre and vowels at least {speech.LEAST['timbre']:g}, change "
        f"{speech.LEAST['change']:g}, level {speech.LEAST['level']:g}; each {speech.BACKWARDS_MARGIN:g} above that of "
        f"the reversal and {speech.LAG_MARGIN:g} above that of 30 ms to either side; of one piece, the middle of the "
        f"first three at most {1000 * speech.LATE_SECONDS:g} ms early or late"
    ),
    "pitch": (
        f"{100 * speech.LEAST_VOICED:g} % of what is voiced is, {100 * speech.LEAST_NEAR:g} % of that within "
        f"{speech.NEAR_CENTS:g} cents; median within {speech.MOST_CENTS:g} cents, scatter at most "
        f"{speech.MOST_SPREAD_CENTS:g}, slope {speech.SLOPES[0]:g} to {speech.SLOPES[1]:g}, correlation at least "
        f"{speech.LEAST_MELODY:g}; at most {100 * speech.MOST_VOICED_NOISE:g} % of the fricatives are voiced"
    ),
    "pitch of high and low speakers": (
        f"melodies around 360 and 85 Hz: {100 * speech.LEAST_VOICED_OF_RANGE:g} % of what is voiced is, "
        f"{100 * speech.LEAST_NEAR_OF_RANGE:g} % of that within {speech.NEAR_CENTS:g} cents; "
        f"median within {speech.MOST_CENTS:g} cents"
    ),
    "speech of any level": (
        f"{speech.LEVELS_DB[0]:g} dB to full scale: at most {speech.QUIETER_DB:g} dB softer or {speech.LOUDER_DB:g} dB "
        "louder than the source"
    ),
    "level imposed": (
        f"speech of {sound.SOFT_DB:g}, -23 and {sound.LOUD_DB:g} dB: median within {sound.IMPOSED_DB:g} dB, 90 % of "
        f"the frames within {sound.IMPOSED_LOW_DB:g} and +{sound.IMPOSED_HIGH_DB:g} dB, each second within "
        f"{sound.IMPOSED_SECOND_DB:g} dB of the median"
    ),
    "no dry share": (
        f"half the difference of the answers to a sound and to its negative, in {sound.DRY_BANDS} bands, at any delay "
        f"up to {1000 * sound.DRY_SECONDS:g} ms: at most {100 * sound.DRY_SHARE:g} % of the sound"
    ),
    "bandwidth": (
        f"within {-sound.BAND_DB:g} dB of the level between 1 and 4 kHz up to {100 * sound.STATED_SHARE:g} % of the "
        f"stated `bandwidth_hz`; WARN below {100 * sound.USUAL_SHARE:g} % of the network's band where none is stated"
    ),
    "waveform": (
        f"offset at most {sound.DC_DB:g} dB, at most {100 * sound.FLAT_SHARE:g} % of the samples at the peak, at least "
        f"{sound.LEAST_VALUES} values, no gap above {10 * sound.GAP_FRAMES} ms"
    ),
    "clear vowels": (
        f"above {HIGHEST_HARMONIC_HZ:g} Hz, where no vowel of the source has anything, at most "
        f"{sound.VOWEL_NOISE_DB:g} dB against white noise of the vowels' level; the spectrum 1/2, 1/3 or 1/4 of the "
        f"rate higher, where it is within {-sound.IMAGE_DB:g} dB of the loudest, is the same by at most "
        f"{sound.IMAGE_LIKENESS:g}"
    ),
    "pauses": f"level at most {sound.PAUSE_DB:g} dB, peak at most {sound.PAUSE_PEAK_DB:g} dB",
    "no echo": (
        f"{1000 * sound.TAIL_SECONDS:g} ms after the end at most {sound.TAIL_DB:g} dB; whitened noise like itself "
        f"{1000 * sound.ECHO_SECONDS[0]:g} to {1000 * sound.ECHO_SECONDS[1]:g} ms later at most {sound.ECHO_LIKENESS:g}"
    ),
    "pitch_shift by its amount": f"within {amounts.SHIFT_CENTS:g} cents",
    "automatic pitch": (
        f"only of a file that states `extra.automatic_pitch`: a multiple of the step within {amounts.SHIFT_CENTS:g} "
        f"cents, within half a step and {amounts.MEDIAN_SEMITONES:g} semitones of what leads to the median"
    ),
    "loudness_mix by its amount": (
        f"within {amounts.MIX_DB:g} dB, or {100 * amounts.MIX_SHARE:g} % of how far the voice's own level is away"
    ),
    "index_rate and protect by their amounts": (
        "0.5 is nearer to 0 and to 1 than these are to each other; protect=0 leaves at most 70 % of the change in "
        f"unvoiced frames, and nothing (at most {amounts.NO_EFFECT_DB:g} dB) at index_rate=0"
    ),
    "speaker_id by its amount": (
        f"timbres at least {amounts.LEAST_TIMBRE_DB:g} dB apart, pitch within {amounts.SPEAKER_CENTS:g} cents"
    ),
}


def table_text() -> str:
    """Return the table of the rules that listen, with their limits."""
    rows = [f"| {rule.name} | {rule.meaning} | {LIMITS[rule.name]} |" for rule in RULES if rule.name in LISTENING]
    return "\n".join(["| rule | what must hold | limits |", "|---|---|---|", *rows])


def page_text(page: str) -> str:
    """Return the text of the page with the table of now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table_text()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_text(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
