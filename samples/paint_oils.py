"""Pictures in thick oil paint: strokes laid from large to small along a flow field, then lit from one side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from paint_tools import (
    HEIGHT,
    SS,
    WIDTH,
    Canvas,
    Colour,
    Pixels,
    blur,
    develop,
    flat,
    grid,
    mix,
    noise,
    ramp,
    smoothstep,
    streaks,
)

# x, y and radius of what glows in the night sky: the moon first, then the stars.
_LIGHTS = (
    (148, 118, 58), (322, 66, 30), (452, 178, 36), (566, 74, 40), (52, 262, 26), (250, 214, 22), (596, 262, 24),
    (398, 36, 17), (36, 40, 22), (352, 268, 17), (510, 300, 15), (226, 36, 15),
)  # fmt: skip
# From a light's heart out into the night.
_GLOW = ((255, 250, 214), (254, 222, 92), (240, 172, 40), (214, 190, 92), (110, 168, 178), (30, 80, 160))


def starlight(rng: np.random.Generator) -> Pixels:
    """A night wind in cobalt and gold over dark hills and a winding river, in short thick strokes.

    The sky's flow is a breeze with two large eddies and a whirl about every light; its colours are noise smeared along
    that flow, so that the bands of light and the strokes agree.
    """
    x, y = grid()
    u = np.ones_like(x)
    v = 0.55 * np.cos(x / 74 + y / 160) - 0.12
    for cx, cy, radius, spin in ((404, 128, 84, 2.6), (262, 152, 62, -2.3)):
        dx, dy = x - cx, y - cy
        pull = spin * np.exp(-((dx**2 + dy**2) / radius**2))
        # A little inward motion makes spirals of what would be circles.
        u, v = u - pull * (dy + 0.25 * dx) / 22, v + pull * (dx - 0.25 * dy) / 22
    for cx, cy, radius in _LIGHTS:
        dx, dy = x - cx, y - cy
        distance = np.hypot(dx, dy) + 1e-3
        near = np.exp(-((distance / (radius * 1.35)) ** 4))
        u, v = u * (1 - near) - near * dy / distance * 3, v * (1 - near) + near * dx / distance * 3
    wind = np.arctan2(v, u)

    milky = np.exp(-(((y - 190 - 30 * np.sin(x / 80)) / 60) ** 2))
    tone = 0.40 + 0.18 * streaks(noise(rng, 26, 3), wind, 110) + 0.10 * noise(rng, 200, 2) + 0.16 * milky
    plan = ramp(tone, (10, 16, 58), (20, 38, 112), (28, 70, 166), (58, 118, 196), (134, 184, 208), (226, 222, 170))
    for cx, cy, radius in _LIGHTS:
        r = np.hypot(x - cx, y - cy) / radius
        glow = ramp((r + 0.05 * np.sin(r * 14)) / 1.5, *_GLOW)
        plan = mix(plan, glow, smoothstep(1.55, 0.75, r) * (0.80 + 0.20 * np.cos(r * 17)))

    # Four ranges of hills, each nearer, darker and greener than the one behind.
    angle = wind
    greens = ((52, 84, 150), (34, 82, 118), (30, 86, 84), (26, 62, 60))
    for k, colour in enumerate(greens):
        base = 338 + 40 * k
        ridge = base + (30 - 4 * k) * np.sin(x / (92 - 9 * k) + 1.9 * k + 0.6) + 10 * np.sin(x / 31 + k)
        slope = np.gradient(ridge, axis=1) * 2
        inside = smoothstep(-1, 1, y - ridge)
        depth = (y - ridge) / 60
        furrow = np.sin(depth * 13 + 2.2 * np.sin(x / 40 + k)) + 0.6 * noise(rng, 30, 3)
        bright = tuple(min(255, c * 1.7 + 26) for c in colour)
        hill = ramp(0.50 + 0.22 * furrow - 0.2 * depth, (10, 16, 44), colour, bright)
        hill = mix(hill, flat((206, 174, 74)), 0.75 * np.exp(-(((y - ridge - 3) / 4.0) ** 2)))
        plan = mix(plan, hill, inside)
        bend = np.arctan(slope * np.exp(-depth * 0.8) + 0.35 * np.sin(x / 37 + depth * 3 + k))
        angle = np.where(inside > 0.5, bend, angle)

    # The river carries the moon's gold down the valley.
    middle = 250 + 95 * np.sin((y - 372) / 38) * (y - 372) / 140
    half = 5 + (y - 385) * 0.34
    river = smoothstep(1.0, 0.8, np.abs(x - middle) / np.maximum(half, 1)) * smoothstep(384, 392, y)
    ripple = 0.5 + 0.30 * np.sin(y / 3.1 + np.sin(x / 23)) + 0.16 * noise(rng, (40, 9), 3)
    plan = mix(plan, ramp(ripple, (16, 44, 110), (44, 110, 176), (124, 184, 200), (250, 212, 92)), river)
    angle = np.where(river > 0.5, 0.12 * np.sin(x / 30), angle)

    canvas = Canvas(blur(plan, 6) * 0.55)
    halo = np.zeros_like(x)
    for cx, cy, radius in _LIGHTS:
        halo = np.maximum(halo, smoothstep(1.7, 1.1, np.hypot(x - cx, y - cy) / radius))
    canvas.cover(rng, plan, angle, 13, 54, 1.5)
    canvas.cover(rng, plan, angle, 7.5, 32, 1.5)
    canvas.cover(rng, plan, angle, 5.2, 20, 0.9, jitter=16)
    canvas.cover(rng, plan, angle, 4.2, 15, 1.5, where=halo, jitter=12)
    canvas.cover(rng, plan, angle, 4.0, 13, 3.0, where=river, jitter=12)
    _village(rng, canvas)
    _cores(rng, canvas)
    return develop(canvas.lit(1.5))


def _cores(rng: np.random.Generator, canvas: Canvas) -> None:
    """The lights' hearts, squeezed on last and thickest: a twirl of almost white paint each; the moon is a crescent."""
    for cx, cy, radius in _LIGHTS[1:]:
        turn = np.linspace(0, 2.4 * np.pi, 16) + rng.uniform(0, 6)
        arm = np.linspace(0.02, 0.26, 16) * radius
        path = np.stack([cx + arm * np.cos(turn), cy + arm * np.sin(turn)], 1)
        canvas.stroke(rng, path, radius * 0.24, (255, 246, 206), 8)
    cx, cy, radius = _LIGHTS[0]
    for k, colour in enumerate(((226, 128, 22), (246, 176, 36), (255, 214, 84), (255, 240, 176))):
        for _ in range(7):
            bow = 2.5 + rng.uniform(-0.9, 0.9) + np.linspace(-0.5, 0.5, 9)
            # Arcs that lean on the disc's rim at their middle and leave it towards the horns.
            arm = radius * (0.26 + 0.10 * k + 0.03 * rng.normal()) * (0.78 + 0.22 * np.cos(bow - 2.5))
            canvas.stroke(rng, np.stack([cx + arm * np.cos(bow), cy - arm * np.sin(bow)], 1), 5.5, colour, 12)


def _village(rng: np.random.Generator, canvas: Canvas) -> None:
    """A few cottages with lit windows among the hills."""
    places = ((396, 440, 17), (430, 432, 21), (466, 442, 17), (500, 434, 24), (540, 442, 18))
    for cx, cy, size in places:
        for k in range(5):
            level = cy - size * 0.16 * k
            wall = [(cx + size * t, level) for t in (-0.5, 0, 0.5)]
            canvas.stroke(rng, wall, size * 0.26, (96 - 8 * k, 122 - 8 * k, 156 - 6 * k), 10, taper=0.05)
        for low in (0.0, 0.28):
            for side in (-1, 1):
                eave, top = (cx + side * size * 0.8, cy - size * (0.55 + low)), (cx, cy - size * (1.2 + low))
                roof = [top, ((eave[0] + top[0]) / 2, (eave[1] + top[1]) / 2), eave]
                canvas.stroke(rng, roof, size * 0.34, (158, 74, 46) if side < 0 else (112, 50, 44), 14, taper=0.1)
        for t in (-0.22, 0.22):
            window = [(cx + size * t, cy - size * h) for h in (0.08, 0.22, 0.36)]
            canvas.stroke(rng, window, size * 0.22, (255, 214, 84), 6, taper=0.05)


def wildflowers(rng: np.random.Generator) -> Pixels:
    """A summer meadow up to the eyes in poppies, daisies, cornflowers and lupins: dabs of thick paint, far to near."""
    x, y = grid()
    horizon = 112 + 10 * np.sin(x / 110) + 5 * np.sin(x / 37)
    drift = streaks(noise(rng, 40, 3), 0.25 * np.sin(x / 90) - 0.15, 80)
    dusk = ((74, 146, 190), (150, 196, 200), (248, 222, 170), (252, 186, 108), (240, 140, 92))
    sky = ramp(0.15 + 0.75 * y / 110 + 0.13 * drift, *dusk)
    near = (y - horizon) / (HEIGHT - 112)
    patches = 0.5 + 0.20 * noise(rng, (120, 40), 4) + 0.12 * np.sin(y / 19 + 2 * np.sin(x / 80))
    field = ramp(patches, (36, 66, 38), (84, 112, 34), (150, 156, 40), (214, 186, 66), (232, 150, 60))
    field = mix(field, flat((18, 46, 40)), np.clip(near - 0.35, 0, 0.7))
    plan = mix(sky, field, smoothstep(-1, 1, y - horizon))
    woods = horizon - 9 - 5 * np.clip(noise(rng, (70, 1e4), 3)[:1] + 1, 0, 3)
    wood = smoothstep(-1, 1, y - woods) * smoothstep(3, -1, y - horizon)
    plan = mix(plan, ramp(0.5 + 0.25 * noise(rng, 12, 2), (38, 58, 84), (66, 92, 116), (122, 138, 112)), wood)
    slopes = 0.3 * np.cos(x / 110) * (1 - near) + 0.25 * np.sin(y / 30)
    angle = np.where(y < horizon, 0.25 * np.sin(x / 90) - 0.15, slopes)
    angle = np.where(wood > 0.5, -0.8 + 0.7 * np.sin(x / 9), angle).astype(np.float32)

    canvas = Canvas(blur(plan, 5) * 0.7)
    canvas.cover(rng, plan, angle, 13, 46, 1.6, jitter=14)
    canvas.cover(rng, plan, angle, 7, 26, 1.4, jitter=18)
    canvas.cover(rng, plan, angle, 4.5, 13, 1.2, where=wood + 0.3 * (y < horizon), jitter=18)

    kinds = (_poppy, _poppy, _daisy, _cornflower, _buttercup, _lupin)
    clumps = [noise(rng, (150, 90), 3) for _ in kinds]
    rows = np.sort(126 + (HEIGHT - 96) * rng.random(1500) ** 0.85)
    for cy in rows:
        cx = rng.uniform(-10, WIDTH + 10)
        near_here = float(np.clip((cy - 112) / (HEIGHT - 112), 0.02, 1.1))
        size = 3.0 + 21 * near_here**1.25
        _grass(rng, canvas, cx, cy, size)
        if rng.random() < 0.30 + 0.25 * (1 - near_here):
            row, column = min(int(cy * SS), HEIGHT * SS - 1), int(np.clip(cx, 0, WIDTH - 1) * SS)
            # Flowers keep company: whichever kind's clump is thickest here most likely grows.
            kind = int(np.argmax([clump[row, column] + 0.8 * rng.normal() for clump in clumps]))
            kinds[kind](rng, canvas, cx, cy - size * rng.uniform(0.8, 1.8), size * rng.uniform(0.75, 1.15))
    return develop(canvas.lit(1.5))


def _grass(rng: np.random.Generator, canvas: Canvas, x: float, y: float, size: float) -> None:
    """A tuft of blades, each one bent stroke, lighter towards the viewer's left."""
    for _ in range(3):
        foot, lean, high = x + rng.normal(0, size * 0.6), rng.normal(0.15, 0.35), size * rng.uniform(1.4, 3.2)
        blade = [(foot + lean * high * t**1.8, y + size * 0.5 - high * t) for t in np.linspace(0, 1, 6)]
        greens = ((38, 84, 48), (92, 128, 40), (160, 168, 58), (26, 62, 58), (204, 186, 84))
        canvas.stroke(rng, blade, max(1.6, size * 0.16), greens[rng.integers(len(greens))], 12, taper=0.8)


def _petals(
    rng: np.random.Generator, canvas: Canvas, x: float, y: float, inner: float, outer: float, count: int, width: float,
    colours: Sequence[Colour], squash: float = 0.75,
) -> None:  # fmt: skip
    """`count` dabs pulled outwards round (x, y); `squash` is how far the flower leans back."""
    for a in rng.permutation(np.linspace(0, 2 * np.pi, count, endpoint=False)) + rng.uniform(0, 6):
        reach = outer * rng.uniform(0.8, 1.15)
        radii, bend = np.linspace(inner, reach, 5), a + np.linspace(0, 0.25, 5) * rng.normal()
        path = np.stack([x + radii * np.cos(bend), y + squash * radii * np.sin(bend)], 1)
        canvas.stroke(rng, path, width, colours[rng.integers(len(colours))], 16, taper=0.5)


def _poppy(rng: np.random.Generator, canvas: Canvas, x: float, y: float, size: float) -> None:
    reds = ((206, 24, 22), (236, 52, 24), (252, 96, 40))
    _petals(rng, canvas, x, y, size * 0.1, size * 0.85, 9, size * 0.62, reds[:2])
    _petals(rng, canvas, x, y - size * 0.1, size * 0.15, size * 0.6, 6, size * 0.42, reds[1:])
    _petals(rng, canvas, x, y, 0, size * 0.2, 4, size * 0.2, ((34, 16, 34), (60, 24, 50)))


def _daisy(rng: np.random.Generator, canvas: Canvas, x: float, y: float, size: float) -> None:
    creams = ((255, 248, 226), (246, 226, 196), (214, 214, 232))
    _petals(rng, canvas, x, y, size * 0.15, size * 0.75, 13, size * 0.22, creams)
    _petals(rng, canvas, x, y, 0, size * 0.2, 5, size * 0.22, ((250, 190, 30), (226, 140, 20)))


def _cornflower(rng: np.random.Generator, canvas: Canvas, x: float, y: float, size: float) -> None:
    blues = ((44, 66, 190), (78, 104, 224), (120, 90, 206))
    _petals(rng, canvas, x, y, size * 0.1, size * 0.65, 11, size * 0.24, blues)
    _petals(rng, canvas, x, y, 0, size * 0.22, 4, size * 0.18, ((92, 30, 130), (52, 26, 110)))


def _buttercup(rng: np.random.Generator, canvas: Canvas, x: float, y: float, size: float) -> None:
    yellows = ((255, 214, 36), (252, 186, 20), (255, 236, 120))
    _petals(rng, canvas, x, y, size * 0.05, size * 0.42, 6, size * 0.32, yellows)


def _lupin(rng: np.random.Generator, canvas: Canvas, x: float, y: float, size: float) -> None:
    tints = ((176, 66, 150), (216, 100, 170), (240, 156, 190), (132, 56, 160))
    for t in np.linspace(0, 1, 9):
        wide = size * 0.38 * (1 - 0.75 * t)
        for side in (-1, 0, 1):
            path = [(x + side * wide * s, y + size * 0.7 - size * 2.0 * t - wide * 0.5 * s) for s in (0.2, 0.6, 1.0)]
            canvas.stroke(rng, path, size * 0.22 * (1.1 - 0.6 * t), tints[rng.integers(len(tints))], 14)
