"""Pictures on paper: a woodcut, an ink painting and a pop-art print. Inks are transparent and multiply."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from paint_tools import (
    SHAPE,
    SS,
    WIDTH,
    Colour,
    Pixels,
    Plane,
    blur,
    curve,
    develop,
    flat,
    grid,
    noise,
    paper,
    relief,
    smoothstep,
    streaks,
    warp,
)

Points = NDArray[np.float32] | list[tuple[float, float]]


def _shape(*outlines: Points) -> Plane:
    """1 inside the outlines (final pixels), 0 outside, antialiased."""
    mask = np.zeros(SHAPE, np.uint8)
    for outline in outlines:
        cv2.fillPoly(mask, [np.int32(np.asarray(outline) * SS * 16)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def _print(sheet: Plane, ink: Colour, amount: Plane) -> Plane:
    """`sheet` with `amount` (0…1, or more for several coats) of a transparent ink on it, by Beer and Lambert's law."""
    return sheet * np.exp(np.log(np.maximum(flat(ink), 0.004)) * amount[..., None])


# ------------------------------------------------------------------------------------------------------------ woodcut


def _carve(height: Plane, spacing: float, tone: Plane) -> Plane:
    """Lines along the levels of `height`, `spacing` apart, swelling until they cover the share `tone` of the block."""
    phase = np.abs((height / spacing) % 1 - 0.5) * 2
    soft = 1.6 / spacing
    return smoothstep(-soft, soft, tone * (1 + 2 * soft) - soft - phase).astype(np.float32)


def _inside(mask: Plane) -> Plane:
    """How deep (final pixels) every sample lies within `mask`."""
    return cv2.distanceTransform(np.uint8(mask > 0.5), cv2.DIST_L2, 5) / SS


def woodcut(rng: np.random.Generator) -> Pixels:
    """A great wave curls under a vermilion sun: carved lines in Prussian blue, indigo and red on warm paper.

    Every area is a field of heights whose levels are the gouge's cuts; tone decides how wide the ridges between stay.
    """
    x, y = grid()
    wobble = noise(rng, 90, 3)
    grain = streaks(noise(rng, (60, 2.2), 2), 0.05 * noise(rng, 200, 2), 60, 10)
    sheet = paper(rng, (243, 226, 190))
    blue, pale, red = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)

    # Sky: flowing cuts that bend round the sun.
    sx, sy, sr = 486, 132, 74
    r = np.hypot(x - sx, y - sy)
    bow = 26 * np.exp(-((r / 120) ** 2)) * np.clip((y - sy) / 40, -1, 1)
    sky = y + 16 * np.sin(x / 95 + 0.6) + 7 * wobble + bow
    cuts = 0.5 * streaks(noise(rng, 26, 2), 0.2 * np.cos(x / 95), 60, 10)
    pale += _carve(sky, 8.5, np.clip(0.34 + 0.42 * (1 - y / 330) + 0.16 * cuts, 0, 0.93))
    blue += _carve(sky + 4.2, 8.5, np.clip(0.50 - y / 260 + 0.16 * cuts, 0, 0.9))
    disc = smoothstep(sr + 0.6, sr - 0.6, r)
    halo = smoothstep(sr + 12, sr + 10.5, r) * (1 - disc)
    around = np.arctan2(y - sy, x - sx) * 100 + 2 * wobble
    taper = np.clip(0.62 - (r - sr) / 130 + 0.1 * cuts, 0, 1)
    rays = smoothstep(sr + 11, sr + 12, r) * _carve(around, 200 * np.pi / 56, taper)
    face = 1 - 0.92 * _carve(y + 5 * np.sin(x / 40), 9, np.clip((y - sy + 10) / 150, 0, 0.6))
    red += disc * face + 0.95 * rays
    keep = 1 - np.maximum.reduce([disc, halo, smoothstep(0.2, 0.6, rays)])
    blue, pale = blue * keep, pale * keep

    def lay(mask: Plane, dark: Plane, light: Plane, outline: float = 2.2) -> None:
        """A new area hides what is behind it and has an outline of its own."""
        nonlocal blue, pale, red
        rim = mask * smoothstep(outline + 0.6, outline - 0.6, _inside(mask))
        blue, pale, red = (old * (1 - mask) for old in (blue, pale, red))
        blue, pale = np.maximum(blue, np.maximum(dark * mask, rim)), np.maximum(pale, light * mask)

    # Swells behind, then the great wave, then swells in front.
    def swell(base: float, height: float, length: float, shift: float, spacing: float, tone: float) -> None:
        ripple = np.abs(np.sin(np.pi * (x + shift) / length + 0.25 * np.sin(2 * np.pi * (x + shift) / length)))
        crest = base - height * (1 - ripple) ** 1.4 + 3 * np.sin(x / 17 + shift)
        depth = y - crest
        mask = smoothstep(-0.6, 0.6, depth)
        lines = depth * (1 - 0.16 * np.cos(2 * np.pi * (x + shift) / length)) + 2.2 * wobble
        cut = 0.14 * noise(rng, (50, 16), 3)
        shade = np.clip(tone + depth / 260 + cut, 0.06, 0.92) * smoothstep(2, 16, depth)
        second = 0.35 + 0.6 * _carve(lines + spacing / 3, spacing * 2, 0.5 + cut)
        lay(mask, _carve(lines, spacing, shade), smoothstep(10, 14, depth) * second)

    swell(330, 44, 210, 60, 7.5, 0.30)
    back = curve([(-30, 540), (-20, 330), (60, 214), (150, 112), (252, 66), (342, 84), (398, 140), (404, 204)], 120)
    lip = [(404, 204), (372, 170), (322, 158), (272, 190), (246, 262), (270, 350), (350, 420), (460, 450), (560, 540)]
    hollow = curve(lip, 120)
    body = _shape(np.r_[back, hollow])
    depth = _inside(body)
    belly = _inside(1 - _shape(np.r_[hollow, np.float32([(-30, 540), (-30, -30), (404, -30)])]))
    lines = blur(depth, 2.5) + 3 * wobble
    cut = 0.10 * noise(rng, 40, 3)
    side = smoothstep(90, 10, np.minimum(depth, belly))
    shade = np.clip(0.30 + 0.50 * (1 - side) + y / 1500 + cut, 0.1, 0.94)
    lay(body, _carve(lines, 9.5, shade), _carve(lines + 3, 19, np.clip(0.62 + cut, 0, 1)), 3.0)

    # Foam: claws of small round lobes along the crest and lip, biggest at the tip, each with an inner curl.
    spine = np.r_[back[52:], hollow[:26]]
    swollen = np.linspace(0.7, 1.3, len(spine))
    spots = [(p + rng.normal(0, 3.5, 2), rng.uniform(8, 17) * k) for p, k in zip(spine[::2], swollen[::2], strict=True)]
    spots += [((404 + rng.normal(4, 13), 205 + rng.normal(6, 14)), rng.uniform(7, 13)) for _ in range(12)]
    for (cx, cy), radius in spots:
        d = np.hypot(x - cx, (y - cy) * 1.06) + 0.7 * wobble
        spiral = d + 1.2 * np.arctan2(y - cy, x - cx)
        curl = _carve(spiral, 5.6, np.full_like(x, 0.30)) * smoothstep(radius * 0.75, radius * 0.6, d)
        blob = smoothstep(radius + 0.5, radius - 0.5, d)
        ring = blob * smoothstep(radius - 2.5, radius - 1.4, d)
        blue = np.maximum(blue * (1 - blob), np.maximum(ring, curl * blob * 0.9))
        pale, red = pale * (1 - blob), red * (1 - blob)
    drops = np.zeros_like(x)
    for _ in range(70):
        t = rng.uniform(0, 1)
        cx, cy = 300 + 190 * t + rng.normal(0, 30), 60 + 170 * t**1.5 + rng.normal(0, 34)
        drops = np.maximum(drops, smoothstep(0.5, -0.5, np.hypot(x - cx, y - cy) - rng.uniform(1.2, 3.8)))
    blue, pale, red = (p * (1 - drops) for p in (blue, pale, red))
    swell(432, 54, 260, 150, 8.5, 0.42)
    swell(492, 46, 190, 20, 9.0, 0.55)

    # Hand-printed: plates slightly out of register, ink thin along the wood's grain and in specks.
    worn = smoothstep(-2.6, -1.2, grain + 0.7 * noise(rng, 6, 3))
    coat = (0.86 + 0.10 * np.clip(grain, -2, 2) * 0.6 + 0.05 * noise(rng, 80, 3)) * (0.35 + 0.65 * worn)
    plates = (((150, 186, 190), pale, 1.4, -0.9), ((222, 66, 36), red, -1.2, 0.8), ((22, 44, 92), blue, 0.0, 0.0))
    for colour, plate, dx, dy in plates:
        sheet = _print(sheet, colour, blur(warp(plate, dx, dy), 0.35) * coat)
    return develop(sheet * (1 + np.clip(relief(blur(blue, 0.6), 0.05), -0.1, 0.1))[..., None])


# ---------------------------------------------------------------------------------------------------------------- ink


class _Sumi:
    """A sheet of paper that takes washes, brush strokes and splashes."""

    def __init__(self, rng: np.random.Generator, colour: Colour) -> None:
        self.rng = rng
        self.sheet = paper(rng, colour, 1.3)
        self.tooth = noise(rng, 3.2, 3)
        self.drift = [noise(rng, scale, 5) for scale in (60, 60, 16, 16)]

    def wash(self, mask: Plane, ink: Colour, amount: Plane | float, wet: float = 1.0) -> None:
        """A pool of ink: its border creeps along the fibres, pigment settles at the rim and in the paper's hollows."""
        a, b, c, d = self.drift
        crept = warp(blur(mask, 1.2), (a * 5 + c * 2.2) * wet, (b * 5 + d * 2.2) * wet)
        inside = smoothstep(0.25, 0.75, crept)
        depth = _inside(inside)
        rim = np.exp(-depth / (1.8 + wet)) * inside
        pooled = 0.72 + 0.16 * self.drift[0] + 0.07 * self.drift[2] + 0.06 * self.tooth
        self.sheet = _print(self.sheet, ink, np.clip(inside * pooled + 0.55 * rim * inside, 0, 3) * amount)

    def bleed(self, mask: Plane, ink: Colour, amount: float, reach: float) -> None:
        """Ink dropped on wet paper: feathered tongues that thin out over `reach`."""
        a, b, c, d = self.drift
        spread = blur(mask, reach * 0.5)
        for step in (1.0, 0.5):
            spread = warp(spread, (a + 0.5 * c) * reach * 0.45 * step, (b + 0.5 * d) * reach * 0.45 * step)
        self.sheet = _print(self.sheet, ink, spread * amount * (0.85 + 0.15 * self.tooth))

    def pull(
        self, paths: list[Points], width: float, ink: Colour, load: float = 1.0, dry: float = 0.4, press: float = 0.5
    ) -> None:
        """Strokes of a soft brush that runs dry: hairs split, skip over the paper's tooth and end where they like."""
        rng, film = self.rng, np.zeros(SHAPE, np.uint8)
        for path in (np.asarray(p, np.float32) for p in paths):
            along = np.gradient(path, axis=0)
            along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-6
            across = np.stack([-along[:, 1], along[:, 0]], 1)
            t = np.linspace(0, 1, len(path))
            swell = np.clip(np.sin(np.pi * (0.06 + 0.92 * t)), 0.02, 1) ** press
            hairs = max(5, int(width * SS / 1.5))
            for place in rng.permutation(np.linspace(-0.5, 0.5, hairs)):
                wander = np.convolve(rng.normal(0, 1, len(path) + 8), np.ones(9) / 9, "valid")
                line = np.int32((path + across * (place * width * swell + wander * width * 0.025)[:, None]) * SS * 16)
                empty = rng.uniform(0.35, 1.5) if rng.random() < dry else 2.0
                levels = rng.uniform(127, 255) * (1 - 0.75 * smoothstep(empty - 0.35, empty, t))
                for k in range(0, len(line) - 3, 3):
                    if rng.random() > 0.30 * dry * t[k]:
                        cv2.polylines(film, [line[k : k + 5]], False, int(levels[k]), 2, cv2.LINE_AA, 4)
        thick = blur(film / 255, 0.45)
        rough = smoothstep(0.12, 0.5, thick + 0.11 * self.tooth * (1.15 - thick))
        rough *= smoothstep(0, 0.06, thick)
        self.sheet = _print(self.sheet, ink, np.clip(thick * 0.75 + rough * 0.35, 0, 1.3) * load * rough)

    def splash(self, x: float, y: float, spread: float, count: int, ink: Colour, way: float, load: float = 1.0) -> None:
        """Drops flung off the brush towards `way`: long ones fly far, round ones stay."""
        rng, drops = self.rng, np.zeros(SHAPE, np.uint8)
        for _ in range(count):
            far = spread * rng.exponential(0.5)
            a = way + rng.normal(0, 0.55)
            size = np.clip(rng.exponential(2.2) * np.exp(-far / spread * 0.5), 0.5, 5.5)
            long = size * (1 + min(1.6, rng.exponential(0.5)) * min(1.5, far / spread))
            centre = (int((x + far * np.cos(a)) * SS * 16), int((y + far * np.sin(a)) * SS * 16))
            axes = (int(long * SS * 16), int(size * SS * 16))
            outline = cv2.ellipse2Poly((0, 0), (1000, 1000), 0, 0, 360, 12) / 1000 * axes
            turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
            cv2.fillPoly(drops, [np.int32(outline @ turn + centre)], int(rng.uniform(120, 255)), cv2.LINE_AA, 4)
        film = drops.astype(np.float32) / 255
        self.sheet = _print(self.sheet, ink, warp(film, self.drift[2] * 0.8, self.drift[3] * 0.8) * load)


def ink(rng: np.random.Generator) -> Pixels:
    """Misty peaks, a wind-bent pine and a vermilion sun: ink washed, pulled dry and splashed on rough paper."""
    x, y = grid()
    sumi = _Sumi(rng, (238, 228, 206))
    blue, black, red = (44, 66, 104), (16, 20, 34), (214, 50, 28)
    haze = noise(rng, 150, 4)
    sumi.sheet = _print(sumi.sheet, (160, 172, 180), np.clip(0.22 + 0.34 * haze, 0, 1) * smoothstep(320, 0, y))
    sumi.bleed(smoothstep(0, -60, y - 52 + 30 * haze) * smoothstep(520, 380, x), blue, 0.95, 34)
    sumi.wash(smoothstep(54, 52, np.hypot(x - 442, y - 150)), red, 1.25, 0.9)
    sumi.bleed(smoothstep(60, 30, np.hypot(x - 442, y - 160)), (232, 110, 70), 0.5, 40)

    ranges = ((262, 90, (112, 130, 152)), (318, 120, (72, 94, 128)), (384, 110, (40, 56, 92)), (462, 84, (20, 28, 48)))
    for k, (base, high, shade) in enumerate(ranges):
        ridge = base - high * np.clip(noise(rng, (190 - 20 * k, 1e4), 6)[:1], -1.6, 2.2) * 0.62
        below = y - ridge
        mist = np.exp(-np.clip(below, 0, None) / (62 + 6 * k)) + 0.16 * np.clip(haze, 0, 2)
        sumi.wash(smoothstep(-1, 1, below), shade, np.clip(mist, 0, 1.3) * (0.85 + 0.12 * k), 0.55)
        cuts = []
        for _ in range(30 + 8 * k):
            # Axe-cut strokes: short dry pulls down the slopes give the rock its faces.
            cx, lean, drop = rng.uniform(0, WIDTH - 1), rng.choice((-1, 1)) * rng.uniform(8, 26), rng.uniform(16, 52)
            cy = ridge[0, int(cx * SS)] + rng.uniform(0, 34)
            cuts.append(curve([(cx, cy), (cx + lean * 0.3, cy + drop * 0.4), (cx + lean, cy + drop)], 16))
        sumi.pull(cuts, 6 + k, shade, 0.75, 0.8)

    trunk = curve([(-24, 500), (66, 432), (96, 340), (170, 272), (196, 178), (292, 122), (372, 116)], 90)
    sumi.bleed(_shape(cv2.ellipse2Poly((70, 440), (50, 26), -40, 0, 360, 10).astype(np.float32)), black, 1.2, 26)
    sumi.pull([trunk], 34, black, 1.15, 0.85, 0.7)
    sumi.pull([trunk[::-1] + rng.normal(0, 1.6, trunk.shape)], 24, black, 0.7, 1.0, 0.6)
    branches = (
        [(98, 344), (160, 330), (226, 346), (282, 330)], [(172, 268), (112, 226), (82, 160), (30, 128)],
        [(198, 190), (254, 200), (318, 232), (380, 224)], [(214, 160), (198, 108), (228, 58), (216, 26)],
        [(66, 432), (140, 440), (196, 420), (262, 436)],
    )  # fmt: skip
    sumi.pull([curve(branch, 50) for branch in branches], 12, black, 1.15, 0.6, 0.8)
    tips = [p for branch in branches for p in curve(branch, 12)[4:]] + list(trunk[62::4])
    needles = np.zeros(SHAPE, np.uint8)
    for cx, cy in tips:
        for _ in range(rng.integers(1, 4)):
            ox, oy = cx + rng.normal(0, 15), cy - abs(rng.normal(0, 11))
            for a in np.linspace(-2.95, -0.2, 17) + rng.normal(0, 0.1, 17):
                reach = rng.uniform(13, 25)
                end = (ox + reach * np.cos(a), oy + reach * np.sin(a) * 0.85)
                level, thick = int(rng.uniform(110, 255)), int(rng.integers(1, 4))
                cv2.line(needles, _fixed(ox, oy), _fixed(*end), level, thick, cv2.LINE_AA, 4)
    film = needles.astype(np.float32) / 255
    sumi.bleed(film, blue, 0.85, 9)
    sumi.sheet = _print(sumi.sheet, black, film * np.clip(0.9 + 0.2 * sumi.tooth, 0, 1.4))

    # Water at the foot of the hills: a brush drawn across again and again until it runs dry.
    for k in range(9):
        left, level, long = rng.uniform(190, 420), 404 + 11 * k, rng.uniform(180, 330)
        sweep = [(left + long * t, level + 5 * np.sin(5 * t + k) - 6 * t) for t in np.linspace(0, 1, 6)]
        sumi.pull([curve(sweep, 90)], rng.uniform(3, 9), (black, blue)[k % 2], 1.0, 1.0, 1.3)
    sumi.splash(352, 104, 120, 60, black, -0.35)
    sumi.splash(560, 450, 160, 110, black, -1.6)
    sumi.splash(120, 420, 90, 60, blue, -1.0, 0.9)
    sumi.splash(442, 150, 120, 46, red, 0.9, 1.1)
    seal = _shape([(572, 34), (607, 33), (608, 70), (573, 71)])
    strokes = np.zeros(SHAPE, np.uint8)
    signs = (
        ((579, 42), (601, 41)), ((590, 41), (589, 63)), ((580, 52), (599, 52)), ((579, 63), (601, 64)),
        ((581, 56), (581, 62)),
    )  # fmt: skip
    for a, b in signs:
        cv2.line(strokes, _fixed(*a), _fixed(*b), 255, 5, cv2.LINE_AA, 4)
    pressed = seal * (1 - strokes.astype(np.float32) / 255) * smoothstep(-2.0, -0.6, sumi.tooth + 0.4 * haze)
    sumi.sheet = _print(sumi.sheet, (206, 36, 26), warp(pressed, sumi.drift[2] * 0.5, sumi.drift[3] * 0.5) * 1.05)
    return develop(sumi.sheet)


def _fixed(x: float, y: float) -> tuple[int, int]:
    """A point for OpenCV's line drawing with four fractional bits."""
    return int(x * SS * 16), int(y * SS * 16)


# ----------------------------------------------------------------------------------------------------------- halftone


def _screen(tone: Plane, pitch: float, angle: float) -> Plane:
    """Round dots in rows at `angle` (degrees), as big as `tone` in 0…1 asks for."""
    x, y = grid()
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    u, v = (x * cos + y * sin) / pitch % 1 - 0.5, (y * cos - x * sin) / pitch % 1 - 0.5
    distance = np.hypot(u, v) * pitch
    radius = pitch * np.sqrt(np.clip(tone, 0, 1.6) / np.pi)
    return (smoothstep(0.45, -0.45, distance - radius) * (tone > 0.01)).astype(np.float32)


def halftone(rng: np.random.Generator) -> Pixels:
    """A wide comic-strip eye in a burst of rays: cyan, magenta and yellow dots under bold black brushwork."""
    x, y = grid()
    cx, cy = 318, 262
    dx, dy = x - cx, y - cy
    r, around = np.hypot(dx, dy), np.arctan2(dy, dx)
    wedge = np.sin(around * 14 + 0.5 * np.sin(around * 3)) > 0
    cyan = np.where(wedge, 0.10 + r / 700, 0.0)
    magenta = np.where(wedge, 0.0, 0.08 + np.clip(r - 150, 0, None) / 330)
    yellow = np.where(wedge, 0.0, 1.2)
    black = np.zeros_like(x)

    spikes = rng.uniform(0.90, 1.16, 34)

    def burst(inner: float, outer: float) -> Plane:
        """A jagged explosion of 17 spikes, the same ones whatever its size."""
        angles = np.linspace(0, 2 * np.pi, 34, endpoint=False) + 0.1
        reach = np.where(np.arange(34) % 2, inner, outer * spikes)
        return _shape(np.stack([cx + 1.28 * reach * np.cos(angles), cy + reach * np.sin(angles)], 1))

    def lay(mask: Plane, c: Plane | float, m: Plane | float, ye: Plane | float) -> None:
        nonlocal cyan, magenta, yellow, black
        hole = mask > 0.5
        cyan, magenta, yellow = (np.where(hole, new, old) for new, old in ((c, cyan), (m, magenta), (ye, yellow)))
        black = black * (1 - mask)

    lay(burst(172, 250), 0.0, 0.0, 0.0)
    black = np.maximum(black, burst(164, 236))
    lay(burst(155, 214), 0.0, 1.2, 1.2)
    lay(burst(134, 182), 0.0, np.clip(0.12 + (r - 60) / 260, 0, 1), 0.30)

    upper = [(122, 290), (170, 226), (250, 176), (330, 166), (420, 196), (486, 250), (520, 306)]
    lower = [(520, 306), (440, 342), (350, 360), (260, 352), (180, 322), (122, 290)]
    almond = _shape(np.r_[curve(upper, 80), curve(lower, 80)])
    lay(almond, np.clip(0.50 - (y - 170) / 200, 0, 0.5), np.clip((np.abs(x - 326) - 96) / 220, 0, 0.5), 0.0)
    ix, iy = 326, 258
    q, b = np.hypot(x - ix, y - iy), np.arctan2(y - iy, x - ix)
    spokes = 0.5 + 0.5 * np.sin(b * 26 + 2.0 * np.sin(b * 5))
    iris = smoothstep(86.5, 85.5, q) * almond
    sea = np.clip(0.35 + 0.5 * spokes + (q - 50) / 80, 0, 1.3)
    lay(iris, sea, np.clip((iy + 10 - y) / 90, 0, 0.8), np.clip((62 - q) / 26, 0, 1.1))
    black = np.maximum(black, iris * smoothstep(79, 80, q))
    black = np.maximum(black, iris * smoothstep(0.80, 0.9, spokes * smoothstep(36, 78, q)))
    black = np.maximum(black, smoothstep(38.5, 37.5, q) * almond)
    for hx, hy, hr in ((300, 226, 19), (350, 282, 9), (284, 252, 6)):
        lay(smoothstep(0.5, -0.5, np.hypot(x - hx, y - hy) - hr), 0.0, 0.0, 0.0)

    def ribbon(points: list[tuple[float, float]], start: float, middle: float, end: float) -> Plane:
        """A brushed line whose width runs from `start` over `middle` to `end`."""
        path = curve(points, 60)
        along = np.gradient(path, axis=0)
        across = np.stack([-along[:, 1], along[:, 0]], 1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-6)
        half = np.interp(np.linspace(0, 1, 60), (0, 0.5, 1), (start, middle, end))[:, None] / 2
        return _shape(np.r_[path + across * half, (path - across * half)[::-1]])

    lines = [ribbon(upper, 5, 26, 9), ribbon(lower, 7, 6, 3)]
    lines.append(ribbon([(150, 214), (210, 164), (300, 138), (400, 152), (474, 196)], 2, 7, 2))
    top = curve(upper, 15)
    for k, (px, py) in enumerate(top[1:]):
        t = k / 13
        way = -2.35 + 1.95 * t
        long = 52 + 34 * np.sin(np.pi * (0.25 + 0.7 * t))
        tip = (px + long * np.cos(way), py + long * np.sin(way))
        bend = (px + 0.55 * long * np.cos(way + 0.34), py + 0.55 * long * np.sin(way + 0.34))
        lines.append(ribbon([(px, py + 4), bend, tip], 13, 8, 0.4))
    for px, py in curve(lower, 11)[1:-1]:
        way = np.arctan2(py - 240, (px - 320) * 0.6)
        lash = [(px + d * np.cos(way + bow), py + d * np.sin(way + bow)) for d, bow in ((0, 0), (14, 0.2), (26, 0))]
        lines.append(ribbon(lash, 6, 4, 0.4))
    for line in lines:
        black = np.maximum(black, line)

    tear = _shape(curve([(206, 340), (186, 386), (180, 420), (204, 444), (230, 424), (226, 386), (206, 340)], 80))
    inside = _inside(tear)
    lay(tear, np.clip(0.95 - (x - 186) / 50, 0.12, 1), 0.0, 0.0)
    black = np.maximum(black, tear * smoothstep(4.2, 3.2, inside))
    lay(_shape(curve([(194, 404), (190, 418), (198, 430), (200, 418), (194, 404)], 40)), 0.0, 0.0, 0.0)
    for k in range(46):
        # Speed lines rush in from the borders.
        way = 2 * np.pi * k / 46 + rng.normal(0, 0.03)
        inner = rng.uniform(285, 345)
        far, close = ((cx + a * np.cos(way), cy + b * np.sin(way)) for a, b in ((560, 500), (1.25 * inner, inner)))
        black = np.maximum(black, ribbon([close, ((close[0] + far[0]) / 2, (close[1] + far[1]) / 2), far], 0.3, 7, 15))

    sheet = paper(rng, (250, 245, 228), 0.6)
    grainy = 0.94 + 0.05 * noise(rng, 2.5, 2)
    plates = (
        ((255, 222, 20), yellow, 6.5, 0, 0.0, 0.0),
        ((236, 26, 116), magenta, 7.4, 75, 1.0, -0.6),
        ((0, 158, 224), cyan, 7.4, 15, -0.8, 0.9),
    )
    for colour, tone, pitch, angle, dx, dy in plates:
        sheet = _print(sheet, colour, warp(_screen(tone, pitch, angle), dx, dy) * grainy)
    sheet = _print(sheet, (18, 16, 22), np.clip(black, 0, 1) * (0.95 + 0.03 * noise(rng, 4, 3)))
    return develop(sheet)
