"""The command line: arguments → frozen settings → a session; errors → one line and an exit code.

Exit codes: 0 done; 1 failed while working; 2 wrong usage or unusable input; 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import sys
import typing
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, Literal, NoReturn

from nst_video import __version__, presets, recipe
from nst_video.errors import NstVideoError, UsageError
from nst_video.settings import ImageConfig, LiveConfig, StyleSettings, VideoConfig, option_name

POSITIONAL = ("content", "clip")
SHORT = {"output": "-o"}


class _Parser(argparse.ArgumentParser):
    """Complains in one line instead of reciting the usage."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and answer the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that a terminal cannot show must not end a run
    try:
        repeated = _repeated(arguments)
        options = _parser(repeated).parse_args(arguments)
        if getattr(options, "preset", None):
            options = _parser(presets.load(options.preset)).parse_args(arguments)
        for name, value in repeated.items():  # where given ones are appended, they would be behind those repeated
            if getattr(options, name, value) is None:
                setattr(options, name, value)
        return int(options.run(options))
    except NstVideoError as error:
        if debug:
            raise
        print(f"nst-video: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        if debug:
            raise
        print("nst-video: interrupted", file=sys.stderr)
        return 130
    except ImportError as error:  # on a bare Linux OpenCV lacks two libraries
        if debug:
            raise
        hint = (
            "on Debian: apt-get install libgl1 libglib2.0-0"
            if "lib" in str(error)
            else "pip install -r requirements.txt"
        )
        print(f"nst-video: {str(error).splitlines()[0]} ({hint})", file=sys.stderr)
        return UsageError.exit_code
    except Exception as error:
        if debug:
            raise
        print(f"nst-video: {type(error).__name__}: {error} (--debug shows where)", file=sys.stderr)
        return 1


def _repeated(arguments: Sequence[str]) -> Mapping[str, Any]:
    """The options of the picture that `image --from` names, if it does."""
    first = _Parser(prog="nst-video image", add_help=False, allow_abbrev=False)
    first.add_argument("--from", type=Path, dest="source")
    if list(arguments[:1]) != ["image"] or "-h" in arguments or "--help" in arguments:
        return {}
    source = first.parse_known_args(arguments[1:])[0].source
    if source is None:
        return {}
    found = recipe.read(source)
    given = {argument.split("=")[0] for argument in arguments}
    for option, dependents in recipe.DEPENDENT.items():
        if option_name(option) in given:
            found = {name: value for name, value in found.items() if name not in dependents}
    if option_name("style") in given and len(found.get("mask", ())) > 1:  # one for each of the styles that were
        del found["mask"]
    return found


def _parser(preset: Mapping[str, Any]) -> argparse.ArgumentParser:
    """`preset`: what takes the place of the defaults of `live`, or of `image`."""
    parser = _Parser(
        prog="nst-video",
        description="Pictures and films become paintings, by true Gatys optimisation.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nst-video {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Any, summary: str) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = commands.add_parser(
            name, help=summary, description=summary, allow_abbrev=False, formatter_class=_Help
        )
        sub.set_defaults(run=run)
        sub.add_argument("--debug", action="store_true", help="show where an error comes from")
        return sub

    image = command("image", _image, "Paint a still picture.")
    image.add_argument(
        "--from", type=Path, metavar="RESULT", help="repeat what RESULT, a PNG, was painted with, but for what is given"
    )
    _add_options(image, ImageConfig, "image", preset=preset)
    _add_options(image, StyleSettings, "image", group="the painting", preset=preset)
    video = command("video", _video, "Paint a film, with its sound.")
    _add_options(video, VideoConfig, "video")
    _add_options(video, StyleSettings, "video", group="the painting")
    live = command("live", _live, "Paint what is happening, as it happens.")
    shipped = ", ".join(presets.SHIPPED)
    live.add_argument(
        "--preset", metavar="NAME", help=f"options under one name: {shipped}, last (what was used last), or a saved one"
    )
    live.add_argument("--save-preset", metavar="NAME", help="save the settings under this name, as they are at the end")
    _add_options(live, LiveConfig, "live", preset=preset)
    _add_options(live, StyleSettings, "live", group="the painting", preset=preset)
    demo = command("demo", _demo, "Paint the sample clip, to see that everything works.")
    demo.add_argument("-o", "--output", type=Path, default=Path("demo.mp4"), metavar="FILE", help="(default: demo.mp4)")
    demo.add_argument("--quiet", action="store_true", help="print nothing but errors")
    command("networks", _networks, "List the networks and where their weights are.")
    return parser


class _Help(argparse.HelpFormatter):
    """Option names in front, help texts behind column 30."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=110)


def _add_options(
    parser: argparse.ArgumentParser,
    settings: type,
    command: str,
    group: str | None = None,
    preset: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """An option for each field of a settings class that `command` offers."""
    target = parser.add_argument_group(group) if group else parser
    hints = typing.get_type_hints(settings)
    for field in dataclasses.fields(settings):
        if command in field.metadata["commands"]:
            _add_option(target, field, hints[field.name], preset.get(field.name, field.default))


def _add_option(target: Any, field: dataclasses.Field[Any], hint: Any, default: Any) -> None:
    required = default is dataclasses.MISSING
    default = None if required else default
    words = field.metadata["words"]
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
    shown = next((word for word, meant in words.items() if meant == default), shown)
    obvious = shown in (None, "") or isinstance(shown, bool)
    help_text = field.metadata["help"] + ("" if obvious else f" (default: {shown})")
    if field.name in POSITIONAL:
        kind = Path if hint is Path else str
        many = {} if required else {"nargs": "?", "default": default}
        target.add_argument(field.name, type=kind, metavar=field.name.upper(), help=help_text, **many)
        return
    names = [*([SHORT[field.name]] if field.name in SHORT else []), option_name(field.name)]
    if hint in (bool, bool | None):
        action: Any = "store_true" if default is False else argparse.BooleanOptionalAction
        target.add_argument(*names, action=action, default=default, help=help_text)
        return
    common: dict[str, Any] = {"default": default, "required": required, "help": help_text}
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        target.add_argument(*names, choices=inner, **common)
    elif origin is tuple:
        if inner[0] is Path:  # one after the other: a name would be taken for another option's
            common["default"], many = None, {"action": "append"}
        else:
            many = {"nargs": "+"}
        target.add_argument(*names, type=inner[0], metavar=field.metadata["metavar"], **many, **common)
    else:
        kind = inner[0] if origin is UnionType else hint
        metavar = "|".join((*words, field.metadata["metavar"] or kind.__name__.upper()))
        target.add_argument(*names, type=_reader(kind, words), metavar=metavar, **common)


def _reader(kind: type, words: Mapping[str, Any]) -> Any:
    """What turns the text of an argument into a value."""
    if kind is Fraction:
        return _rate
    if not words:
        return kind

    def read(text: str) -> Any:
        try:
            return words[text] if text in words else kind(text)
        except ValueError:
            number = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"must be {' or '.join(words)} or {number}, not {text!r}") from None

    return read


def _rate(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"must be a rate like 25, 29.97 or 30000/1001, not {text!r}") from None


def _settings(kind: Any, options: argparse.Namespace) -> Any:
    """The settings object of this kind, from the options of its name."""
    given = {field.name: getattr(options, field.name, None) for field in dataclasses.fields(kind)}
    return kind(**{n: tuple(v) if isinstance(v, list) else v for n, v in given.items() if v is not None})


def _image(options: argparse.Namespace) -> int:
    config, settings = _settings(ImageConfig, options), _settings(StyleSettings, options)

    from nst_video.image_session import run_image  # behind what can fail at once: torch takes seconds to load
    from nst_video.progress import ProgressBar

    with ProgressBar("iteration", quiet=config.quiet) as bar:
        summary = run_image(config, settings, bar)
    if not config.quiet:
        print(f"{summary.output}: {summary.done} iterations in {summary.seconds:.1f} s ({summary.device})")
    if summary.interrupted:
        print(
            f"nst-video: interrupted after {summary.done} of {summary.expected} iterations; {summary.output} shows it",
            file=sys.stderr,
        )
        return 130
    return 0


def _video(options: argparse.Namespace) -> int:
    return _convert(_settings(VideoConfig, options), _settings(StyleSettings, options))


def _convert(config: VideoConfig, settings: StyleSettings) -> int:
    from nst_video.progress import ProgressBar
    from nst_video.video_session import run_video

    with ProgressBar("frame", quiet=config.quiet) as bar:
        summary = run_video(config, settings, bar)
    if not config.quiet:
        before = f" ({summary.resumed} were there before)" if summary.resumed else ""
        print(f"{summary.output}: {summary.done} frames{before} in {summary.seconds:.1f} s ({summary.device})")
        for note in summary.notes:
            print(f"nst-video: {note}", file=sys.stderr)
    if summary.interrupted:
        again = f"--resume goes on from frame {summary.kept}" if summary.kept else "too few to go on from"
        print(
            f"nst-video: interrupted; {summary.output} holds the first {summary.done} of {summary.expected} frames; "
            f"{again}",
            file=sys.stderr,
        )
        return 130
    if summary.incomplete:
        whole = "" if summary.done < summary.expected else ", and not all of them whole"
        only = "only " if summary.done < summary.expected else ""
        why = f" ({summary.harm})" if summary.harm else ""
        print(
            f"nst-video: {config.clip} is damaged: {only}{summary.done} of {summary.expected} frames could be read"
            f"{whole}{why}",
            file=sys.stderr,
        )
        return 1
    if summary.lost:
        print(f"nst-video: {config.clip} is damaged: {summary.lost}", file=sys.stderr)
        return 1
    return 0


def _live(options: argparse.Namespace) -> int:
    config, settings = _settings(LiveConfig, options), _settings(StyleSettings, options)
    if options.save_preset:
        presets.check_name(options.save_preset)

    from nst_video.live_session import run_live
    from nst_video.progress import ProgressBar

    with ProgressBar("frame", quiet=config.quiet or not config.headless) as bar:  # the window tells more
        summary = run_live(config, settings, bar)
    if not config.quiet:
        print(
            f"{summary.painted} frames in {summary.seconds:.1f} s, {summary.fps:.1f} a second, "
            f"{summary.iterations / max(summary.painted, 1):.1f} iterations each, {summary.dropped} left out; "
            f"{summary.delay * 1000:.0f} ms behind ({summary.device})"
        )
        for path in summary.kept:
            print(path)
    knobs = summary.knobs
    speed = {"target_fps": config.target_fps, "iterations": config.iterations}
    if options.save_preset:
        where = presets.save(options.save_preset, knobs.settings, size=knobs.size, **speed)
        print(f"preset {options.save_preset} saved in {where}")
    if not config.headless:
        with contextlib.suppress(NstVideoError):  # only a convenience
            presets.save(presets.LAST, knobs.settings, size=knobs.size, **speed)
    if summary.interrupted:
        print("nst-video: interrupted", file=sys.stderr)
    return 130 if summary.interrupted else 0


def _demo(options: argparse.Namespace) -> int:
    from nst_video.resources import shipped

    config = VideoConfig(
        clip=shipped("samples", "portrait.mp4"),
        style=(shipped("samples", "starlight.jpg"),),
        output=options.output,
        quiet=options.quiet,
    )
    return _convert(config, StyleSettings())


def _networks(_: argparse.Namespace) -> int:
    from nst_video.weights import NETWORKS

    for info in NETWORKS.values():
        path = info.path()
        if path.is_file():
            where = f"{path} ({path.stat().st_size / 1e6:.1f} MB)"
        elif info.url is not None:
            where = f"not here yet; fetched on first use to {path}, or given with --weights FILE"
        else:
            where = f"missing: {path}"
        print(f"{info.name:12} {info.description}\n{'':12} {where}")
    return 0
