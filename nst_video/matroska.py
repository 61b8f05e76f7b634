"""Raw frames with their times, as the head and the blocks of a Matroska stream: a pipe of bare pixels could not tell
ffmpeg when each frame is shown. See RFC 9559."""

from __future__ import annotations

from fractions import Fraction

NANOSECONDS = 1_000_000_000


def head(width: int, height: int, frame_rate: Fraction) -> bytes:
    """What a stream of RGB frames, three bytes a pixel, begins with. `frame_rate` is a hint for the encoder."""
    video = _element("E0", _number("B0", width) + _number("BA", height) + _element("2EB524", b"RGB\x18"))
    track = (
        _number("D7", 1)  # its number
        + _number("73C5", 1)  # its UID
        + _number("83", 1)  # it is video
        + _number("23E383", round(NANOSECONDS / frame_rate))
        + _element("86", b"V_UNCOMPRESSED")
        + video
    )
    segment_of_any_length = bytes.fromhex("18538067") + b"\x01" + b"\xff" * 7
    in_nanoseconds = _element("1549A966", _number("2AD7B1", 1))
    return (
        _element("1A45DFA3", _element("4282", b"matroska"))
        + segment_of_any_length
        + in_nanoseconds
        + _element("1654AE6B", _element("AE", track))
    )


def block(time: Fraction, duration: Fraction, size: int) -> bytes:
    """What stands before the `size` bytes of a frame that is shown from `time` on; both in seconds."""
    relative_to_cluster = b"\x81\x00\x00\x00"  # track 1, 0 ns after the cluster's own time, no flags
    opening = bytes.fromhex("A1") + _size(len(relative_to_cluster) + size) + relative_to_cluster
    shown_for = _number("9B", round(duration * NANOSECONDS))
    group = bytes.fromhex("A0") + _size(len(shown_for) + len(opening) + size)
    cluster = _number("E7", round(time * NANOSECONDS)) + group + shown_for + opening
    return bytes.fromhex("1F43B675") + _size(len(cluster) + size) + cluster


def _element(identifier: str, content: bytes) -> bytes:
    return bytes.fromhex(identifier) + _size(len(content)) + content


def _number(identifier: str, value: int) -> bytes:
    return _element(identifier, value.to_bytes(8, "big"))


def _size(length: int) -> bytes:
    """In eight bytes, whatever it is: the first bit says so."""
    return (length | 1 << 56).to_bytes(8, "big")
