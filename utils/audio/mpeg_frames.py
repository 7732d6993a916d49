"""Walk through the frames of an MPEG audio file (MP3): decoders pass over what is between them in silence.

Header of a frame: ISO 11172-3 section 2.4.1.3, and ISO 13818-3 for the lower rates.
"""

from utils.audio.file_bytes import FileBytes

SYNC = 0xFFE00000
# bits per millisecond by index, for (version 1 or lower, layer)
BIT_RATES = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version's bits


def is_mpeg_audio(data: FileBytes) -> bool:
    """Say whether a file begins with a tag of MP3 files or a frame."""
    return data[:3] == b"ID3" or frame_length(data, 0) > 0


def check_mpeg(data: FileBytes) -> str | None:
    """Return what is wrong with an MPEG audio file; None for a whole one.

    Zeros between frames and whatever follows the last one, such as tags, are no damage.
    """
    position, gap_begin = _first_frame(data), -1
    num_frames = num_gaps = 0
    while position < len(data):
        length = frame_length(data, position)
        if length and position + length > len(data):
            return "cut short: the last frame is not whole" if num_frames else None
        # a frame is followed by another; behind other bytes two in a row are needed to believe the first
        follows = gap_begin < 0 or frame_length(data, position + length) > 0 or position + length == len(data)
        if length and follows:
            if gap_begin >= 0 and data.has_other_than_zeros(gap_begin, position):
                num_gaps += 1
            num_frames, gap_begin = num_frames + 1, -1
            position += length
            continue
        gap_begin = position if gap_begin < 0 else gap_begin
        position = data.find(b"\xff", position + 1)
        if position < 0:
            break
    return f"damaged: {num_gaps} stretches between its {num_frames} frames are no sound" if num_gaps else None


def states_length(data: FileBytes) -> bool:
    """Say whether an MPEG audio file states in its first frame where its frames end, and they do.

    Files of a varying bit rate without it, and such as were put one behind another, have another length.
    """
    end = _stated_end(data)
    return end is not None and not _has_frames(data, end)


def _stated_end(data: FileBytes) -> int | None:
    """Return the end that the first frame states; None where it states none.

    "Xing" or "Info" stands where the sound of that frame would begin, with flags (1: frames, 2: bytes), the number of
    frames and of bytes; "VBRI" always 32 bytes behind the head, bytes and frames 10 and 14 further
    (https://www.codeproject.com/Articles/8295/MPEG-Audio-Frame-Header, VBR headers).
    """
    first = _first_frame(data)
    head = data[first : first + 4]
    is_version_1, is_mono = head[1:2] >= b"\xf8", head[3:4] >= b"\xc0"
    place = first + 4 + (32 if is_version_1 and not is_mono else 9 if is_mono and not is_version_1 else 17)
    if data[place : place + 4] in (b"Xing", b"Info") and int.from_bytes(data[place + 4 : place + 8], "big") & 3 == 3:
        return first + int.from_bytes(data[place + 12 : place + 16], "big")
    if data[first + 36 : first + 40] == b"VBRI":
        return first + int.from_bytes(data[first + 46 : first + 50], "big")
    return None


def _has_frames(data: FileBytes, position: int) -> bool:
    """Return whether two frames in a row begin anywhere behind a place."""
    while (position := data.find(b"\xff", position)) >= 0:
        length = frame_length(data, position)
        if length and frame_length(data, position + length):
            return True
        position += 1
    return False


def frame_length(data: FileBytes, position: int) -> int:
    """Return the bytes of the frame that begins here; 0 where none does, or its length is not told."""
    head = int.from_bytes(data[position : position + 4], "big")
    version, layer = head >> 19 & 3, 4 - (head >> 17 & 3)
    rate_index, bits_index = head >> 10 & 3, head >> 12 & 15
    if head & SYNC != SYNC or version == 1 or layer == 4 or rate_index == 3 or bits_index in (0, 15):
        return 0
    bit_rate = 1000 * BIT_RATES[version == 3, layer][bits_index]
    sample_rate, padding = SAMPLE_RATES[version][rate_index], head >> 9 & 1
    if layer == 1:
        return 4 * (12 * bit_rate // sample_rate + padding)
    return (72 if layer == 3 and version != 3 else 144) * bit_rate // sample_rate + padding


def _first_frame(data: FileBytes) -> int:
    """Return where the frames begin, behind a tag of version 2."""
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = sum((byte & 127) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    return 10 + size + (10 if data[5:6][0] & 16 else 0)
