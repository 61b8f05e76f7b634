"""What fits into which kind of film, and the ffmpeg arguments that put it there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

from nst_video import ffmpeg
from nst_video.clip import Clip, Stream
from nst_video.errors import SettingsError
from nst_video.pictures import PICTURE_SUFFIXES, is_numbered

FINEST = 10_000
"""Units that a second is divided into, at least: coarser ones are not understood everywhere."""
TOO_FINE = 10_000_000
"""Finer ones are not, either."""

_MP4_SOUND = ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac")
_TEXT = ("mov_text", "subrip", "srt", "webvtt", "ass", "ssa", "text")


@dataclass(frozen=True)
class Container:
    """A kind of film. Sound and subtitles that are not copied are encoded; those that cannot be, left out."""

    codecs: tuple[str, ...]
    """Of the pictures; the first is taken if nobody chooses."""
    sound: tuple[str, ...] | None = ()
    """Codecs that are copied; None: all."""
    sound_otherwise: str = "aac"
    subtitles: tuple[str, ...] | None = ()
    subtitles_otherwise: str = ""
    muxer: tuple[str, ...] = ()


CONTAINERS = {
    ".mp4": Container(("h264", "h265"), _MP4_SOUND, "aac", ("mov_text",), "mov_text", ("-movflags", "+faststart")),
    ".m4v": Container(
        ("h264", "h265"), _MP4_SOUND, "aac", ("mov_text",), "mov_text", ("-movflags", "+faststart", "-f", "mp4")
    ),
    ".mov": Container(
        ("h264", "h265"),
        ("aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le"),
        "aac",
        ("mov_text",),
        "mov_text",
        ("-movflags", "+faststart"),
    ),
    ".mkv": Container(("h264", "h265", "vp9"), None, "aac", None, "srt"),
    ".webm": Container(("vp9",), ("opus", "vorbis"), "libopus", ("webvtt",), "webvtt"),
    ".gif": Container(("lossless",)),
}
PICTURES = Container(("lossless",))
"""One file a frame."""
FILM_SUFFIXES = tuple(CONTAINERS)
RECORDING_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")

_HARDWARE = {
    "h264": {
        "h264_nvenc": ("-rc", "vbr", "-cq", "{crf}", "-b:v", "0"),
        "h264_videotoolbox": ("-q:v", "{quality}"),
        "h264_qsv": ("-global_quality", "{crf}"),
        "h264_amf": ("-rc", "cqp", "-qp_i", "{crf}", "-qp_p", "{crf}"),
    },
    "h265": {
        "hevc_nvenc": ("-rc", "vbr", "-cq", "{crf}", "-b:v", "0"),
        "hevc_videotoolbox": ("-q:v", "{quality}"),
        "hevc_qsv": ("-global_quality", "{crf}"),
        "hevc_amf": ("-rc", "cqp", "-qp_i", "{crf}", "-qp_p", "{crf}"),
    },
}


@dataclass(frozen=True)
class Encoder:
    """How pictures are compressed."""

    name: str
    """As ffmpeg calls it."""
    arguments: tuple[str, ...]
    subsampled: bool = True
    """To 4:2:0 in bt709, limited range, which every player takes; else they stay RGB."""
    even: bool = True
    """Sizes must be even: 4:2:0 of H.264 and H.265 has no others."""
    reorders: bool = True
    """It may encode a frame before one that is shown earlier."""
    hardware: bool = False


def container_of(output: Path) -> Container:
    """By its suffix; `frames/%05d.png` is for pictures."""
    if is_row(output):
        return PICTURES
    return CONTAINERS[output.suffix.lower()]


def is_row(output: Path) -> bool:
    """Whether a film is written there as pictures in a row."""
    return is_numbered(output.name) and output.suffix.lower() in PICTURE_SUFFIXES


def named(output: Path) -> Path:
    """A folder as the pictures in it; else as it is."""
    return output / "%05d.png" if output.is_dir() else output


def choose_encoder(output: Path, codec: str, crf: int, *, preset: str = "medium", hardware: bool = False) -> Encoder:
    """The encoder for `codec` ("auto": what suits the container); with `hardware` one of the graphics card's, if a
    trial shows that it works.

    Raises:
        SettingsError: this kind of film does not hold such a codec.
    """
    codecs = container_of(output).codecs
    chosen = codecs[0] if codec == "auto" or codecs == ("lossless",) else codec
    if chosen not in codecs:
        raise SettingsError(f"--codec for {output.name} must be auto or {' or '.join(codecs)}, not {codec}")
    tag = ("-tag:v", "hvc1") if chosen == "h265" and output.suffix.lower() != ".mkv" else ()
    if hardware:
        for name, options in _HARDWARE.get(chosen, {}).items():
            quality = str(max(1, 100 - 2 * crf))
            arguments = tuple(one.format(crf=crf, quality=quality) for one in options)
            if works(name, arguments):
                return Encoder(name, (*arguments, *tag), hardware=True)
    match chosen:
        case "h264":
            return Encoder("libx264", ("-crf", str(crf), "-preset", preset))
        case "h265":
            return Encoder("libx265", ("-crf", str(crf), "-preset", preset, "-x265-params", "log-level=error", *tag))
        case "vp9":
            speed = ("-deadline", "good", "-cpu-used", "4", "-row-mt", "1")
            return Encoder("libvpx-vp9", ("-crf", str(crf), "-b:v", "0", *speed), even=False, reorders=False)
        case _:
            return Encoder("libx264rgb", ("-qp", "0", "-preset", "ultrafast"), subsampled=False, even=False)


@cache
def works(encoder: str, arguments: tuple[str, ...]) -> bool:
    """Whether an encoder really runs here: many are listed where there is no such hardware."""
    trial = ["-f", "lavfi", "-i", "color=size=256x256:rate=25", "-frames:v", "3", "-pix_fmt", "yuv420p"]
    return ffmpeg.run([*trial, "-c:v", encoder, *arguments, "-f", "null", "-"]).returncode == 0


def units(frame_rate: Fraction, time_base: Fraction) -> int:
    """Into how many units a film divides a second, so that multiples of `time_base` are exact."""
    number = (time_base or 1 / frame_rate).denominator
    if number > TOO_FINE:
        return FINEST * 9  # as broadcasters do: nobody sees the rounding
    while number < FINEST:
        number *= 2
    return number


def encode(
    output: Path,
    width: int,
    height: int,
    encoder: Encoder,
    *,
    per_second: int,
    uneven: bool = False,
    muxer: Sequence[str] = (),
) -> ffmpeg.Ffmpeg:
    """Encode what `matroska` describes into `output`, times in units of 1/`per_second`.

    uneven: the frames are shown for different times. MP4 tells these from the order of decoding, so that it has to be
    that of showing if the last one's is to be right.
    """
    crop = f"crop={width // 2 * 2}:{height // 2 * 2}:0:0," if encoder.even else ""
    colours = (
        "scale=out_color_matrix=bt709:out_range=tv:flags=area+accurate_rnd+full_chroma_int,format=yuv420p,"
        "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
        if encoder.subsampled
        else "null"
    )
    arguments = [
        "-y", "-f", "matroska", "-i", "pipe:0", "-vf", f"{crop}settb=1/{per_second},{colours}",
        "-fps_mode", "passthrough", "-enc_time_base", f"1:{per_second}", "-c:v", encoder.name, *encoder.arguments,
        *(["-bf", "0"] if uneven and encoder.reorders else []),
        *(["-video_track_timescale", str(per_second)] if output.suffix != ".mkv" else []), *muxer,
        ffmpeg.plain(output),
    ]  # fmt: skip
    return ffmpeg.Ffmpeg(arguments, what=f"cannot write {output}", reads=False)


@dataclass(frozen=True)
class Companions:
    """The arguments that take along what lies beside a clip's pictures, and what has to be told about it."""

    arguments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def companions(container: Container, clip: Clip, suffix: str, *, copy: bool = True) -> Companions:
    """Sound, subtitles, chapters and metadata of a clip that is input 1; what fits is copied, if `copy`."""
    arguments = ["-map_metadata", "1", "-map_chapters", "1"]
    notes = list[str]()
    for number, stream in enumerate(one for one in clip.others if one.kind == "Audio"):
        arguments += ["-map", f"1:a:{number}"]
        fits = copy and (container.sound is None or stream.codec in container.sound)
        arguments += [f"-c:a:{number}", "copy" if fits else container.sound_otherwise]
        if not fits:
            notes.append(f"{suffix} does not take {stream.codec}: the sound was encoded anew")
    number = 0
    for there, stream in enumerate(one for one in clip.others if one.kind == "Subtitle"):
        how = _subtitles(container, stream, copy=copy)
        if how is None:
            notes.append(f"{suffix} does not take {stream.codec}: these subtitles were left out")
            continue
        arguments += ["-map", f"1:s:{there}", f"-c:s:{number}", how]
        number += 1
    if suffix == ".mkv" and copy and any(one.kind == "Attachment" for one in clip.others):
        arguments += ["-map", "1:t", "-c:t", "copy"]  # fonts of the subtitles
    arguments += ["-metadata:s:v:0", f"language={clip.language or 'und'}"]
    return Companions(tuple(arguments), tuple(dict.fromkeys(notes)))


def _subtitles(container: Container, stream: Stream, *, copy: bool) -> str | None:
    """The codec that these subtitles are written with; None if they cannot be."""
    if copy and stream.codec in (container.subtitles or ()):
        return "copy"
    if container.subtitles is None and copy and stream.codec != "mov_text":
        return "copy"
    return container.subtitles_otherwise if stream.codec in _TEXT else None


def join(
    listing: Path,
    output: Path,
    *,
    offset: Fraction,
    per_second: int,
    container: Container,
    beside: Companions,
    clip: Clip | None,
    start: float = 0.0,
    duration: float | None = None,
    length: Fraction | None = None,
    step: int | None = None,
) -> list[str]:
    """The arguments that join the films of a concat `listing` and take `clip`'s companions along, from `start` on, for
    `duration` seconds of it; nothing is longer than `length`, if given.

    step: how many of `per_second` units there are from frame to frame, if always the same.
    """
    # A segment of one or two frames has no frames out of order, and leaves a hole in the times of decoding: a film's
    # mean rate, which is told by these, would be wrong.
    evenly = ["-bsf:v", rf"setts=pts=PTS:dts=if(N\,PREV_OUTDTS+{step}\,DTS)"] if step is not None else []
    window = (["-ss", f"{start:.6f}"] if start else []) + (["-t", f"{duration:.6f}"] if duration is not None else [])
    takes = clip is not None and container.sound != () and container is not PICTURES
    # Without its pictures: their key frames would decide where the sound is entered.
    blind = [] if clip is None or clip.shifts else ["-vn"]
    other = [*window, *blind, "-i", ffmpeg.plain(clip.path)] if takes and clip is not None else []
    return [
        "-y", "-itsoffset", f"{float(offset):.6f}", "-f", "concat", "-safe", "0", "-i", ffmpeg.plain(listing), *other,
        "-map", "0:v", "-c:v", "copy", *evenly, *(beside.arguments if takes else ()),
        *(["-t", f"{float(length):.6f}"] if length is not None else []),
        *(["-copypriorss", "0"] if start else []),  # else some formats begin with all sound since the last key frame
        *container.muxer, *(["-video_track_timescale", str(per_second)] if "-movflags" in container.muxer else []),
        ffmpeg.plain(output),
        # As in `clip.look`: the pictures are wanted, too, where ffmpeg counts from the first stream that is.
        *(["-map", "1:V:0", "-c", "copy", "-f", "null", "-"] if other and clip is not None and clip.shifts else []),
    ]  # fmt: skip


def palette(listing: Path, colours: Path) -> list[str]:
    """The arguments that choose a GIF's colours: a pass of its own, or all frames would wait in memory."""
    return ["-y", "-f", "concat", "-safe", "0", "-i", ffmpeg.plain(listing),
            "-vf", "palettegen", "-update", "1", ffmpeg.plain(colours)]  # fmt: skip


def gif(listing: Path, colours: Path, output: Path) -> list[str]:
    """The arguments that write a GIF in these colours, each frame at its time, in hundredths of a second."""
    return ["-y", "-f", "concat", "-safe", "0", "-i", ffmpeg.plain(listing), "-i", ffmpeg.plain(colours),
            "-lavfi", "paletteuse=dither=sierra2_4a:diff_mode=rectangle",
            "-fps_mode", "passthrough", "-enc_time_base", "1:100", "-loop", "0", ffmpeg.plain(output)]  # fmt: skip


def row(listing: Path, pattern: Path) -> list[str]:
    """The arguments that write a picture for each frame."""
    how = {".jpg": ["-q:v", "2"], ".jpeg": ["-q:v", "2"], ".webp": ["-c:v", "libwebp", "-quality", "95"]}
    quality = how.get(pattern.suffix.lower(), [])
    return ["-y", "-f", "concat", "-safe", "0", "-i", ffmpeg.plain(listing), "-fps_mode", "passthrough", *quality,
            "-f", "image2", "-start_number", "1",
            ffmpeg.plain(Path(str(pattern.parent).replace("%", "%%"), pattern.name))]  # fmt: skip
