"""Settings: every default is valid, every bound holds, every message names the option."""

from __future__ import annotations

import dataclasses
import math
import typing
from pathlib import Path
from typing import Any, Literal

import pytest

from nst_video.errors import SettingsError
from nst_video.settings import ImageConfig, LiveConfig, SessionConfig, StyleSettings, VideoConfig, option_name

KINDS: dict[type[Any], dict[str, Any]] = {
    StyleSettings: {},
    ImageConfig: {"style": (Path("s.png"),), "output": Path("o.png"), "content": Path("c.png")},
    VideoConfig: {"style": (Path("s.png"),), "output": Path("o.mp4"), "clip": Path("c.mp4")},
    LiveConfig: {"style": (Path("s.png"),), "source": "c.mp4"},
}


def fields_of(*, bounded: bool) -> list[Any]:
    """All (kind, field) whose values are bounded numbers, or one of some words."""
    found = []
    for kind in KINDS:
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            limits = math.isfinite(field.metadata["low"]) or math.isfinite(field.metadata["high"])
            if limits if bounded else typing.get_origin(hints[field.name]) is Literal:
                found.append(pytest.param(kind, field, id=f"{kind.__name__}.{field.name}"))
    return found


def make(kind: type[Any], field: Any, value: float) -> Any:
    many = typing.get_origin(typing.get_type_hints(kind)[field.name]) is tuple
    given = {**KINDS[kind], field.name: (value,) if many else value}
    if field.name == "camera":
        given["source"] = None
    if field.name == "camera_size":
        given["camera_size"] = (value, value)
    if field.name == "style_layer_weights":
        given["style_layers"] = ("relu1_1",)
    if field.name == "end":
        given["start"] = 0.0
    if field.name == "refine_share":
        given["refine"] = "vgg19"
    return kind(**given)


@pytest.mark.parametrize("kind", KINDS)
def test_the_defaults_are_valid_and_every_field_has_a_help_text(kind: type[Any]) -> None:
    kind(**KINDS[kind])
    assert all(field.metadata["help"] for field in dataclasses.fields(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_settings_are_frozen(kind: type[Any]) -> None:
    made = kind(**KINDS[kind])
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, dataclasses.fields(kind)[0].name, None)


@pytest.mark.parametrize(("kind", "field"), fields_of(bounded=True))
def test_bounds_are_included_and_nothing_beyond_them(kind: type[Any], field: Any) -> None:
    low, high = field.metadata["low"], field.metadata["high"]
    option = option_name(field.name)
    for bound, beyond in ((low, low - 0.001), (high, high + 0.001)):
        if math.isinf(bound):
            continue
        weights = ("style_blend", "style_layer_weights", "content_layer_weights")
        zero_is_no_use = field.name in ("end", *weights) and bound == 0
        if not zero_is_no_use and (field.name != "scales" or not bound):  # so many ask for more than the default size
            make(kind, field, bound)
        with pytest.raises(SettingsError, match=f"^{option} must be "):
            make(kind, field, beyond)
    for useless in (math.nan, math.inf):
        with pytest.raises(SettingsError, match=option):
            make(kind, field, useless)


@pytest.mark.parametrize(("kind", "field"), fields_of(bounded=False))
def test_an_unknown_choice_is_refused_with_the_choices(kind: type[Any], field: Any) -> None:
    choices = typing.get_args(typing.get_type_hints(kind)[field.name])
    with pytest.raises(SettingsError, match=f"^{option_name(field.name)} must be one of {', '.join(choices)}"):
        kind(**{**KINDS[kind], field.name: "nonsense"})


def test_layer_weights_must_match_the_layers() -> None:
    StyleSettings(style_layers=("relu1_1", "relu2_1"), style_layer_weights=(1, 0))
    with pytest.raises(SettingsError, match=r"--style-layer-weights must be one number .* 2 in all, not 1"):
        StyleSettings(style_layers=("relu1_1", "relu2_1"), style_layer_weights=(1,))


@pytest.mark.parametrize("option", ["style_layer_weights", "style_blend"])
def test_weights_that_are_all_zero_are_refused(option: str) -> None:
    given: dict[str, Any] = {option: (0.0, 0.0)}
    with pytest.raises(SettingsError, match=f"{option_name(option)} must not all be 0"):
        StyleSettings(style_layers=("relu1_1", "relu2_1"), **given)


def test_there_must_be_something_to_compare() -> None:
    StyleSettings(content_layers=())
    StyleSettings(style_layers=())
    with pytest.raises(SettingsError, match="--content-layers and --style-layers"):
        StyleSettings(content_layers=(), style_layers=())


@pytest.mark.parametrize("end", [0.5, 1.0])
def test_the_end_must_lie_behind_the_start(end: float) -> None:
    with pytest.raises(SettingsError, match=r"--end must lie behind --start \(1 s\)"):
        VideoConfig(**KINDS[VideoConfig], start=1.0, end=end)


def test_a_blend_needs_a_weight_for_each_style() -> None:
    config = SessionConfig(style=(Path("a.png"), Path("b.png")))
    config.check_blend(StyleSettings())
    config.check_blend(StyleSettings(style_blend=(0.7, 0.3)))
    with pytest.raises(SettingsError, match=r"--style-blend must be one number .* 2 in all, not 3"):
        config.check_blend(StyleSettings(style_blend=(1, 1, 1)))


def test_option_names_are_spelt_as_on_the_command_line() -> None:
    assert option_name("content_weight") == "--content-weight"


def test_how_many_iterations_another_network_does() -> None:
    picture = {"content": Path("c.png"), "style": (Path("s.png"),), "output": Path("o.png")}
    assert ImageConfig(**picture, iterations=200).refine_iterations == 0  # type: ignore[arg-type]
    for share, iterations, wanted in ((0.1, 200, 20), (0.1, 5, 2), (0.1, 1, 1), (0.0, 5, 0), (1.0, 5, 5)):
        config = ImageConfig(**picture, refine="vgg19", refine_share=share, iterations=iterations)  # type: ignore[arg-type]
        assert config.refine_iterations == wanted


@pytest.mark.parametrize("given", [{"refine_share": 0.5}, {"refine_weights": Path("w.pth")}])
def test_how_to_refine_needs_a_network_to_refine_with(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"--refine-\w+ is of no use without --refine"):
        ImageConfig(content=Path("c.png"), style=(Path("s.png"),), output=Path("o.png"), **given)


def live(**given: Any) -> LiveConfig:
    return LiveConfig(style=(Path("a.png"),), **given)


def test_live_takes_one_thing_to_look_at_at_most() -> None:
    assert (live().camera, live().source) == (None, None)
    assert live(camera=0).camera == 0
    assert live(source="http://there/video").source == "http://there/video"
    for camera in (0, 1):  # 0 is a camera, too
        with pytest.raises(SettingsError, match=r"^give --camera or --source, not both"):
            live(camera=camera, source="clip.mp4")


def test_live_may_switch_among_styles_and_needs_no_more_than_one() -> None:
    assert live().iterations == 0
    assert LiveConfig(style=(Path("a.png"), Path("b.png"))).headless is False


@pytest.mark.parametrize("size", [(), (640,), (640, 480, 30)])
def test_a_cameras_size_is_two_numbers(size: tuple[int, ...]) -> None:
    assert live(camera_size=(640, 480)).camera_size == (640, 480)
    with pytest.raises(SettingsError, match=rf"^--camera-size must be a width and a height, not {len(size)} numbers"):
        live(camera_size=size)


@pytest.mark.parametrize("field", ["content_layers", "style_layers"])
def test_a_layer_is_named_once(field: str) -> None:
    with pytest.raises(SettingsError, match=rf"{option_name(field)} must name each layer once, not relu1_1 relu1_1"):
        make_settings({field: ("relu1_1", "relu1_1")})


def make_settings(given: dict[str, Any]) -> StyleSettings:
    return StyleSettings(**given)


@pytest.mark.parametrize(
    ("stability", "held", "ripe", "cost"), [(0, 0, math.inf, 1), (0.5, 99.99, 100, 0.5), (1, 999_999.99, 50, 0)]
)
def test_stability_stands_for_three_figures(stability: float, held: float, ripe: float, cost: float) -> None:
    settings = StyleSettings(stability=stability)
    assert (settings.held_weight(10), settings.ripe, settings.blur_cost) == pytest.approx((held, ripe, cost))
    assert settings.held_weight(2) == pytest.approx(25 * held)


def test_a_temporal_weight_that_is_given_counts() -> None:
    assert StyleSettings(temporal_weight=7, stability=0.9).held_weight(3) == 7
    assert StyleSettings(temporal_weight=0).held_weight() == 0


SAME_PAINTING: dict[str, Any] = {
    "stability": 0.9,
    "temporal_weight": 3.0,
    "learning_rate": 0.02,
    "learning_rate_decay": 0.5,
    "photorealistic": True,
    "strength": 0.5,
    "hue": 20.0,
    "saturation": 0.5,
    "brightness": 1.5,
}
"""Settings that change the way to the painting or how it is shown, each with a value that is not its default."""
OTHER_PAINTING: dict[str, Any] = {
    "content_weight": 0.1,
    "style_weight": 2.0,
    "tv_weight": 0.0,
    "loss": "paper",
    "content_layer_weights": (2.0,),
    "content_layers": ("relu3_2",),
    "style_layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2"),
    "style_layer_weights": (1.0, 2.0, 3.0, 4.0, 5.0),
    "style_blend": (0.0, 1.0),
    "style_scale": 2.0,
    "jitter": 5,
    "original_colors": "histogram",  # the luminance alone is taken of the same painting
}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(StyleSettings)])
def test_only_what_is_painted_counts_for_painting_alike(field: str) -> None:
    """A new setting has to be thought of: one in neither table fails here."""
    value = {**SAME_PAINTING, **OTHER_PAINTING}[field]
    settings, other = StyleSettings(), make_settings({field: value})
    assert other != settings
    assert other.paints_like(settings) is settings.paints_like(other) is (field in SAME_PAINTING)


def test_settings_paint_like_others_only_if_all_that_counts_is_the_same() -> None:
    settings = make_settings(OTHER_PAINTING)
    assert settings.paints_like(make_settings({**OTHER_PAINTING, **SAME_PAINTING}))
    assert not settings.paints_like(make_settings({**OTHER_PAINTING, "style_scale": 2.01}))
