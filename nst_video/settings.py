"""Every setting with its default, bounds and help text, once. The command line reads them from here.

`StyleSettings` say what the painting looks like and may change from frame to frame; `SessionConfig` and its
kinds are fixed for a run. All are frozen and checked when made: one that exists is valid.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from nst_video.errors import SettingsError

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_LAYERS = ("relu4_2",)

Network = Literal["lite", "vgg19", "vgg19-caffe"]
Flow = Literal["auto", "dis", "half", "none"]
MAX_PIXELS = 80_000_000
MIN_SIZE = 32
LOWEST_RATE = 1e-5
STARTS = ("content", "style", "noise", "blend")
FLOW_HELP = (
    "optical flow that carries the painting from frame to frame: dis at the worked size, half at half of it, in half"
    " the time; auto: dis for 3 iterations a frame or more, half for fewer and for --iterations auto"
)


def setting(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    low: float = -math.inf,
    high: float = math.inf,
    metavar: str | None = None,
    commands: tuple[str, ...] = ("image", "video", "live"),
    words: Mapping[str, Any] = MappingProxyType({}),
    repaints: bool = True,
) -> Any:
    """A dataclass field that knows its help text, its bounds (both included) and the commands that offer it.

    `words` may be given on the command line instead of the values that they stand for; one that
    `repaints` asks for another painting when it changes, not only for another way to it or to show it.
    """
    metadata = {"help": help, "low": low, "high": high, "metavar": metavar, "commands": commands, "words": words}
    metadata["repaints"] = repaints
    return dataclasses.field(default=default, metadata=metadata)


def option_name(field: str) -> str:
    """`content_weight` → `--content-weight`."""
    return "--" + field.replace("_", "-")


class _Checked:
    """Checks every field against its bounds and its Literal choices when the object is made."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value, bounds, name = getattr(self, field.name), field.metadata, option_name(field.name)
            choices = typing.get_args(hints[field.name])
            if typing.get_origin(hints[field.name]) is Literal and value not in choices:
                raise SettingsError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, bool) or not isinstance(number, (int, float, Fraction)):
                    continue
                low, high = bounds["low"], bounds["high"]
                if not low <= number <= high or not math.isfinite(number):
                    raise SettingsError(f"{name} must be {_range(low, high)}, not {number}")


def _range(low: float, high: float) -> str:
    if math.isinf(high):
        return "a number" if math.isinf(low) else f"at least {low:g}"
    return f"from {low:g} to {high:g}"


@dataclass(frozen=True, kw_only=True)
class StyleSettings(_Checked):
    """What the painting looks like."""

    content_weight: float = setting(0.05, low=0, help="how much the content holds (α in the papers)")
    style_weight: float = setting(1.0, low=0, help="how much the style pulls (β in the papers)")
    tv_weight: float = setting(
        0.3,
        low=0,
        help="total variation: smooths speckle; raise it for a strong content begun from noise",
    )
    stability: float = setting(
        0.5,
        low=0,
        high=1,
        commands=("video", "live"),
        repaints=False,
        help="0 lets every brush stroke live, 1 keeps whatever can be kept",
    )
    temporal_weight: float | None = setting(
        None,
        low=0,
        commands=("video", "live"),
        repaints=False,
        help="how much a frame holds on to the one before, moved along the flow (default: by --stability)",
    )
    loss: Literal["relative", "paper"] = setting(
        "relative", help="each term relative to its target, or as Gatys et al. write it (choose weights to suit)"
    )
    content_layers: tuple[str, ...] = setting(CONTENT_LAYERS, metavar="LAYER", help="layers that hold the content")
    content_layer_weights: tuple[float, ...] = setting(
        (), low=0, metavar="W", help="a weight for each content layer, in their order (default: equal)"
    )
    style_layers: tuple[str, ...] = setting(STYLE_LAYERS, metavar="LAYER", help="layers that carry the style")
    style_layer_weights: tuple[float, ...] = setting(
        (), low=0, metavar="W", help="a weight for each style layer, in their order (default: equal)"
    )
    style_blend: tuple[float, ...] = setting(
        (),
        low=0,
        metavar="W",
        commands=("image", "video"),
        help="a weight for each --style, in their order (default: equal)",
    )
    style_scale: float = setting(1.0, low=0.05, high=20, help="size of the style picture relative to the content's")
    jitter: int | None = setting(
        None,
        low=0,
        high=256,
        metavar="PIXELS",
        help="look at the picture moved by up to so many pixels each way, and mirrored, another way every fourth "
        "iteration: a small network is outwitted less; a sixteenth of its sides at most; 0: as it stands (default: "
        "8 with lite and adam, else 0)",
    )
    learning_rate: float = setting(
        0.01, low=LOWEST_RATE, high=1, repaints=False, help="step size of the optimiser, in units of full contrast"
    )
    learning_rate_decay: float = setting(
        1.0,
        low=0.001,
        high=1,
        commands=("image",),
        repaints=False,
        metavar="RATIO",
        help="what the learning rate is multiplied by every 100 iterations",
    )
    original_colors: Literal["none", "luminance", "histogram"] = setting(
        "none", repaints=False, help="keep the content's colours: paint its luminance only, or recolour the style first"
    )
    photorealistic: bool = setting(
        False,
        repaints=False,
        help="for a photograph as style: take its colours and light, keep every line and texture of the content",
    )
    strength: float = setting(1.0, low=0, high=1, help="between the content (0) and the painting (1)", repaints=False)
    hue: float = setting(0.0, low=-180, high=180, help="turn the colours, in degrees", repaints=False)
    saturation: float = setting(1.0, low=0, high=4, help="0 is grey, 1 unchanged", repaints=False)
    brightness: float = setting(1.0, low=0, high=4, help="1 is unchanged", repaints=False)

    def held_weight(self, iterations: int = 1) -> float:
        """The weight of the temporal loss for a frame of so many `iterations`; at a stability of ½, if none is given,
        1111 for 3 and 100 for 10 of them: as far as a frame can lead away from the last one, that costs the same."""
        if self.temporal_weight is not None:
            return self.temporal_weight
        return (10 ** (8 * self.stability) - 1) / max(1, iterations) ** 2

    @property
    def ripe(self) -> float:
        """After how many whole steps a pixel of a film has been painted: never, 100, 50 at a stability of 0, ½, 1.

        More of them bring a moving film nearer to its style and make it less steady (200: by 7 and 11 %, in one clip).
        """
        return 50 / self.stability if self.stability else math.inf

    @property
    def blur_cost(self) -> float:
        """How many steps a pixel is put back whenever it has to be interpolated, since that blurs it."""
        return 1 - self.stability

    @property
    def shutter(self) -> float:
        """For how much of a frame the shutter is open that blurs what moves."""
        return self.stability / 2

    def paints_like(self, other: StyleSettings) -> bool:
        """Whether both ask for the same painting, whatever the way to it and however it is shown."""
        fields = (field for field in dataclasses.fields(self) if field.metadata["repaints"])
        matched = [settings.original_colors == "histogram" for settings in (self, other)]  # the style, not the result
        return matched[0] == matched[1] and all(getattr(self, one.name) == getattr(other, one.name) for one in fields)

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind in ("content", "style"):
            weights, layers = getattr(self, f"{kind}_layer_weights"), getattr(self, f"{kind}_layers")
            if weights and len(weights) != len(layers):
                raise SettingsError(
                    f"--{kind}-layer-weights must be one number for each {kind} layer, {len(layers)} in all, "
                    f"not {len(weights)}"
                )
        for field in ("content_layers", "style_layers"):
            if len(set(layers := getattr(self, field))) < len(layers):
                raise SettingsError(f"{option_name(field)} must name each layer once, not {' '.join(layers)}")
        if not self.content_layers and not self.style_layers:
            raise SettingsError("--content-layers and --style-layers cannot both be empty")
        for field in ("content_layer_weights", "style_layer_weights", "style_blend"):
            if (weights := getattr(self, field)) and not any(weights):
                raise SettingsError(f"{option_name(field)} must not all be 0")


@dataclass(frozen=True, kw_only=True)
class SessionConfig(_Checked):
    """What is fixed for a run, whatever it paints."""

    style: tuple[Path, ...] = setting(help="a picture to paint like; give it several times to blend", metavar="PICTURE")
    size: int = setting(
        512, low=MIN_SIZE, high=8192, help="longer side of the worked image; the output keeps its own shape"
    )
    iterations: int = setting(200, low=1, high=100_000, help="optimiser steps")
    network: Network = setting("lite", help="the perceptual network; `networks` tells more")
    weights: Path | None = setting(None, metavar="FILE", help="a state dict to use for --network")
    pooling: Literal["max", "avg"] = setting("max", help="how VGG-19 halves its resolution")
    device: Literal["auto", "cpu", "cuda", "mps"] = setting("auto", help="where to compute")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = setting("auto", help="number format of the network")
    threads: int = setting(0, low=0, high=1024, help="CPU threads to compute with; 0 leaves it to the machine")
    max_pixels: int = setting(
        MAX_PIXELS, low=1, high=2**31 - 1, metavar="N", help="the largest picture to decode, in pixels (width × height)"
    )
    seed: int = setting(0, low=0, high=2**63 - 1, help="for the noise of a start (films have none)")
    log_json: Path | None = setting(None, metavar="FILE", help="write a line of JSON for each image or frame")
    quiet: bool = setting(False, help="print nothing but errors")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.style:
            raise SettingsError("--style must name a picture to paint like")

    def check_blend(self, settings: StyleSettings) -> None:
        """Raise `SettingsError` if the blend's length does not fit the number of styles."""
        given, wanted = len(settings.style_blend), len(self.style)
        if given and given != wanted:
            raise SettingsError(f"--style-blend must be one number for each --style, {wanted} in all, not {given}")


@dataclass(frozen=True, kw_only=True)
class ConvertConfig(SessionConfig):
    """From file to file."""

    output: Path = setting(help="where the result goes", metavar="FILE")
    mask: tuple[Path, ...] = setting(
        (),
        metavar="PICTURE",
        commands=("image", "video"),
        help="where to paint: white yes, black no, grey in between; give one for all styles, or one for each",
    )
    memory: float = setting(
        4.0,
        low=0.05,
        high=10_000,
        commands=("image", "video"),
        metavar="GB",
        help="what the network may hold at once; what needs more is looked at in tiles, which takes longer",
    )

    def check_masks(self, settings: StyleSettings) -> None:
        """Raise `SettingsError` if the number of masks does not fit the number of styles."""
        masks, styles = len(self.mask), len(self.style)
        if masks > 1 and masks != styles:
            raise SettingsError(
                f"--mask must be given once, or once for each of the {styles} --style, not {masks} times"
            )
        if masks > 1 and settings.style_blend:
            raise SettingsError("--style-blend is of no use with a --mask for each --style")


@dataclass(frozen=True, kw_only=True)
class ImageConfig(ConvertConfig):
    """One still picture."""

    content: Path = setting(help="the picture to paint")
    optimizer: Literal["adam", "lbfgs", "sgd"] = setting(
        "adam",
        commands=("image",),
        help="how to step: adam on a pyramid of gradients; lbfgs as in the paper; sgd, plain gradient descent",
    )
    scales: int = setting(
        0,
        low=0,
        high=8,
        commands=("image",),
        words=MappingProxyType({"auto": 0}),
        help="sizes to paint at, each twice the one before, up to --size; auto: 1 below 512 pixels and for sgd, else "
        "from 128 pixels on",
    )
    init: Path | str = setting(
        "content",
        commands=("image",),
        words=MappingProxyType({start: start for start in STARTS}),
        metavar="PICTURE",
        help="where to start from; blend is content and noise",
    )
    init_noise: float | None = setting(
        None,
        low=0,
        high=1,
        commands=("image",),
        metavar="RATIO",
        help="how much white noise to mix into the start (default: 0.5 in blend, 1 in noise, else 0)",
    )
    save_every: int | None = setting(
        None,
        low=1,
        high=100_000,
        commands=("image",),
        metavar="N",
        help="also write the picture as it is after iteration 1, N, 2N, … beside the result (default: never)",
    )
    plot: Path | None = setting(
        None, commands=("image",), metavar="FILE", help="draw the losses against the iterations (.png, .svg, .pdf)"
    )
    refine: Literal["none", "vgg19", "vgg19-caffe"] = setting(
        "none",
        commands=("image",),
        help="a network for the last iterations, which are L-BFGS's: near its quality, far sooner",
    )
    refine_share: float = setting(
        0.1, low=0, high=1, commands=("image",), metavar="RATIO", help="how many of the iterations these are"
    )
    refine_weights: Path | None = setting(
        None, commands=("image",), metavar="FILE", help="a state dict to use for --refine"
    )

    @property
    def noise(self) -> float:
        """How much of the start is white noise."""
        return {"blend": 0.5, "noise": 1.0}.get(str(self.init), 0.0) if self.init_noise is None else self.init_noise

    @property
    def refine_iterations(self) -> int:
        """How many of the iterations are the refining network's; two at least, if it is wanted, as L-BFGS's first one
        only looks."""
        if self.refine == "none" or not self.refine_share:
            return 0
        return min(self.iterations, max(2, round(self.refine_share * self.iterations)))

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("refine_share", "refine_weights"):
            if self.refine == "none" and getattr(self, field) != getattr(type(self), field):
                raise SettingsError(f"{option_name(field)} is of no use without --refine")
        if self.scales and self.size / 2 ** (self.scales - 1) < MIN_SIZE:
            raise SettingsError(
                f"--scales {self.scales} is too many for --size {self.size}: the first is under {MIN_SIZE}"
            )

    def check_descent(self, settings: StyleSettings) -> None:
        """Raise `SettingsError` if the optimiser has no use for what is asked of it."""
        if self.optimizer == "sgd" and (self.scales > 1 or self.refine_iterations):
            raise SettingsError(
                "--optimizer sgd keeps one rate, found at its first step: no --scales, no --refine with it"
            )
        if self.optimizer != "adam" and settings.jitter:
            raise SettingsError(f"--jitter is of no use with --optimizer {self.optimizer}, which needs a steady goal")
        if self.optimizer == "lbfgs" and settings.learning_rate_decay != 1:
            raise SettingsError("--learning-rate-decay is of no use with --optimizer lbfgs, which finds its own steps")


@dataclass(frozen=True, kw_only=True)
class VideoConfig(ConvertConfig):
    """One clip, from file to file."""

    clip: str | Path = setting(
        help="a video file, a GIF, a URL, a folder of pictures, names like frames/%%05d.png, a glob in quotes"
    )
    size: int = setting(
        320, low=MIN_SIZE, high=8192, help="longer side of the worked image; the output keeps its own shape"
    )
    iterations: int = setting(10, low=1, high=100_000, help="optimiser steps per frame")
    first_iterations: int = setting(
        150, low=1, high=100_000, commands=("video",), help="optimiser steps for the first frame"
    )
    flow: Flow = setting("dis", commands=("video", "live"), help=FLOW_HELP)
    long_term: tuple[int, ...] = setting(
        (),
        low=2,
        high=1000,
        commands=("video",),
        metavar="FRAMES",
        help="how many frames back to look for what the last frame does not show (Ruder et al.: 10 20 40)",
    )
    start: float = setting(0.0, low=0, commands=("video",), metavar="SECONDS", help="where to begin in the clip")
    end: float | None = setting(
        None, low=0, commands=("video",), metavar="SECONDS", help="where to stop in the clip (default: its end)"
    )
    fps: Fraction | None = setting(
        None,
        low=0.01,
        high=1000,
        commands=("video",),
        metavar="RATE",
        help="frames a second, like 25, 29.97 or 30000/1001 (default: each frame at its own time; pictures: 25)",
    )
    codec: Literal["auto", "h264", "h265", "vp9"] = setting(
        "auto", commands=("video",), help="how the film is compressed; auto: vp9 in .webm, else h264"
    )
    hardware: bool = setting(
        False, commands=("video",), help="compress on the graphics card, if a trial shows that it can"
    )
    crf: int = setting(
        16, low=1, high=51, commands=("video",), help="quality of the compression: lower is better and larger"
    )
    audio: bool = setting(True, commands=("video",), help="keep the clip's sound, subtitles, chapters and title")
    resume: bool | None = setting(
        None,
        commands=("video",),
        help="go on where an interrupted run stopped, or begin anew (default: go on if all settings are the same)",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fps is not None:  # NTSC's rates are written 23.976, 29.97, 59.94
            given = Fraction(self.fps)
            ntsc = Fraction(round(given * Fraction(1001, 1000)) * 1000, 1001)
            meant = given.denominator > 1 and abs(given - ntsc) < Fraction(6, 1000)
            object.__setattr__(self, "fps", ntsc if meant else given)
        if self.end is not None and self.end <= self.start:
            raise SettingsError(f"--end must lie behind --start ({self.start:g} s), not at {self.end:g} s")


@dataclass(frozen=True, kw_only=True)
class LiveConfig(SessionConfig):
    """As it happens: what cannot be painted in time is left out."""

    style: tuple[Path, ...] = setting(
        help="a picture to paint like; give it several times to switch among them", metavar="PICTURE"
    )
    camera: int | None = setting(
        None, low=0, high=255, commands=("live",), help="the number of a camera (default: 0, if no --source is given)"
    )
    source: str | None = setting(
        None,
        metavar="URL_OR_FILE",
        commands=("live",),
        help="a stream (http://… as MJPEG, rtsp://…), a named pipe, or a video file, played at its own rate",
    )
    camera_size: tuple[int, ...] = setting(
        (1280, 720),
        low=16,
        high=16384,
        commands=("live",),
        metavar="PIXELS",
        help="width and height to ask a camera for",
    )
    camera_fps: float = setting(30.0, low=1, high=1000, commands=("live",), help="frames a second to ask a camera for")
    size: int = setting(
        320, low=MIN_SIZE, high=8192, help="longer side of the worked image; the output keeps its own shape"
    )
    iterations: int = setting(
        0,
        low=0,
        high=100_000,
        words=MappingProxyType({"auto": 0}),
        help="optimiser steps per frame; auto: as many as --target-fps leaves time for, one at least",
    )
    target_fps: float = setting(
        20.0, low=0.1, high=1000, commands=("live",), help="frames to paint in a second, if the source has as many"
    )
    flow: Flow = setting("auto", commands=("video", "live"), help=FLOW_HELP)
    mirror: bool | None = setting(
        None, commands=("live",), help="show it as a mirror does (default: cameras and streams yes, files no)"
    )
    snapshot_dir: Path | None = setting(
        None,
        commands=("live",),
        metavar="FOLDER",
        help="for snapshots and recordings (default: snapshots); with --headless, one of the last frame goes there",
    )
    snapshot_iterations: int = setting(
        200, low=1, high=100_000, commands=("live",), help="optimiser steps of a developed snapshot"
    )
    countdown: int = setting(0, low=0, high=60, commands=("live",), metavar="SECONDS", help="before each snapshot")
    record: Path | None = setting(
        None, commands=("live",), metavar="FILE", help="record all of it as a film, at its true speed"
    )
    virtual_camera: bool = setting(
        False, commands=("live",), help="send the painting to a virtual camera, for video calls (needs pyvirtualcam)"
    )
    headless: bool = setting(False, commands=("live",), help="without a window")
    frames: int | None = setting(
        None, low=1, high=10**9, commands=("live",), help="stop after so many painted ones (default: never)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.camera is not None and self.source is not None:
            raise SettingsError("give --camera or --source, not both")
        if len(self.camera_size) != 2:
            raise SettingsError(f"--camera-size must be a width and a height, not {len(self.camera_size)} numbers")
