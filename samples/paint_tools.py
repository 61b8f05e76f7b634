"""What every picture is painted with: a supersampled sheet, noise, palettes, flow fields, brushes and light.

Painters think in final pixels (`WIDTH` x `HEIGHT`); planes and canvases hold `SS` x `SS` samples for each of them, and
`develop` averages these at the very end, so that every edge comes out antialiased.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH, HEIGHT, SS = 640, 512, 2
SHAPE = (HEIGHT * SS, WIDTH * SS)

Pixels = NDArray[np.uint8]  # (H, W, 3), RGB
Plane = NDArray[np.float32]  # (H, W) for a quantity, (H, W, 3) for colours in 0…1
Colour = tuple[float, float, float]  # RGB in 0…255, as one mixes them


# ------------------------------------------------------------------------------------------------- planes and colours


def grid() -> tuple[Plane, Plane]:
    """x and y of every sample, in final pixels."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32) / SS
    return x, y


def noise(rng: np.random.Generator, scale: float | tuple[float, float], octaves: int = 4) -> Plane:
    """Fractal value noise with mean 0 and deviation 1; `scale` is the size (x, y) of its largest lumps."""
    sx, sy = scale if isinstance(scale, tuple) else (scale, scale)
    total = np.zeros(SHAPE, np.float32)
    for octave in range(octaves):
        cells = (int(HEIGHT / sy * 2**octave) + 4, int(WIDTH / sx * 2**octave) + 4)
        cells = (min(cells[0], SHAPE[0]), min(cells[1], SHAPE[1]))
        lumps = rng.standard_normal(cells, np.float32)
        total += cv2.resize(lumps, SHAPE[::-1], interpolation=cv2.INTER_CUBIC) * 0.5**octave
    return (total - total.mean()) / total.std()


def smoothstep(low: float, high: float, t: Plane) -> Plane:
    """0 below `low`, 1 above `high`, smooth between; with `low` > `high` the other way round."""
    t = np.clip((t - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def ramp(t: Plane, *colours: Colour) -> Plane:
    """`t` in 0…1 looked up in a row of evenly spaced colours."""
    stops = np.linspace(0, 1, len(colours))
    table = np.array(colours) / 255
    return np.stack([np.interp(t, stops, table[:, c]) for c in range(3)], -1).astype(np.float32)


def flat(colour: Colour) -> Plane:
    """One colour, ready to be mixed with planes."""
    return np.array(colour, np.float32) / 255


def mix(under: Plane, over: Plane, amount: Plane) -> Plane:
    """`over` laid on `under` where `amount` is 1."""
    return under + (over - under) * amount[..., None]


def blur(plane: Plane, sigma: float) -> Plane:
    """Gaussian blur, `sigma` in final pixels."""
    return cv2.GaussianBlur(np.float32(plane), (0, 0), sigma * SS)


def warp(plane: Plane, dx: Plane | float, dy: Plane | float) -> Plane:
    """`plane` looked up at (x + dx, y + dy), in final pixels."""
    x, y = grid()
    at = [np.float32(m * SS) for m in (x + dx, y + dy)]
    return cv2.remap(np.float32(plane), *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def paper(rng: np.random.Generator, colour: Colour, rough: float = 1.0) -> Plane:
    """A sheet of handmade paper: mottled tone, tooth lit from one side, and a scatter of fibres."""
    tooth = relief(noise(rng, 3, 2) * 0.6 + noise(rng, 14, 3), 0.022 * rough)
    fibres = np.zeros(SHAPE, np.uint8)
    for _ in range(500):
        start, angle, bend = rng.uniform(0, 1, 2) * SHAPE[::-1], rng.uniform(0, 7), rng.normal(0, 0.25)
        steps = np.cumsum([(np.cos(angle + bend * k), np.sin(angle + bend * k)) for k in range(8)], 0) * 5
        cv2.polylines(fibres, [np.int32((start + steps) * 16)], False, int(rng.integers(40, 160)), 1, cv2.LINE_AA, 4)
    tone = 1 + 0.012 * noise(rng, 120, 3) + tooth - 0.10 * rough * fibres.astype(np.float32) / 255
    return flat(colour) * tone[..., None]


def relief(height: Plane, strength: float, angle: float = -2.3) -> Plane:
    """How much brighter or darker a surface gets when its bumps are lit from `angle` (upper left)."""
    soft = cv2.GaussianBlur(np.float32(height), (0, 0), 0.8)
    slope = cv2.Sobel(soft, cv2.CV_32F, 1, 0) * np.cos(angle) + cv2.Sobel(soft, cv2.CV_32F, 0, 1) * np.sin(angle)
    return (-strength * slope).astype(np.float32)


def develop(picture: Plane) -> Pixels:
    """The finished picture: samples averaged to final pixels, in 8 bits."""
    small = cv2.resize(np.clip(picture, 0, 1), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.uint8(np.rint(small * 255))


# -------------------------------------------------------------------------------------------------------- flow fields


def streaks(texture: Plane, angle: Plane, length: float, steps: int = 24) -> Plane:
    """`texture` smeared along the flow, as a line integral convolution; mean 0 and deviation 1."""
    x, y = grid()
    cos, sin = np.cos(angle), np.sin(angle)
    total = texture.copy()
    for sign in (-1, 1):
        px, py = x * SS, y * SS
        for _ in range(steps):
            dx = cv2.remap(cos, px, py, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            dy = cv2.remap(sin, px, py, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            px, py = px + sign * dx * length / steps * SS, py + sign * dy * length / steps * SS
            total += cv2.remap(texture, px, py, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return (total - total.mean()) / total.std()


def trace(
    angle: Plane, start: NDArray[np.float32], length: NDArray[np.float32], points: int = 9
) -> NDArray[np.float32]:
    """Paths (N, points, 2) through the flow, centred on `start` (N, 2)."""

    def walk(sign: int) -> list[NDArray[np.float32]]:
        here, path = start.copy(), []
        for _ in range(points // 2):
            column = np.clip(here[:, 0] * SS, 0, SHAPE[1] - 1).astype(int)
            row = np.clip(here[:, 1] * SS, 0, SHAPE[0] - 1).astype(int)
            way = angle[row, column]
            here = here + sign * np.stack([np.cos(way), np.sin(way)], -1) * (length / (points - 1))[:, None]
            path.append(here)
        return path

    return np.stack([*walk(-1)[::-1], start, *walk(1)], 1)


# ------------------------------------------------------------------------------------------------------------ brushes


class Canvas:
    """Wet paint: RGB, and how thick it lies as a fourth channel that later catches the light."""

    def __init__(self, ground: Plane | Colour) -> None:
        self.paint = np.zeros((*SHAPE, 4), np.uint8)
        colours = flat(ground) if isinstance(ground, tuple) else ground
        self.paint[..., :3] = np.clip(colours * 255, 0, 255)

    def stroke(
        self,
        rng: np.random.Generator,
        path: ArrayLike,
        width: float,
        colour: ArrayLike,
        streak: float = 14,
        taper: float = 0.35,
    ) -> None:
        """One pull of a bristle brush along `path`: every hair leaves its own line, tint and ridge.

        `colour` is 0…255, `streak` how much the hairs differ, `taper` how pointed the ends are.
        """
        path = np.asarray(path, np.float32)
        along = np.gradient(path, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-6
        across = np.stack([-along[:, 1], along[:, 0]], 1)
        swell = np.sin(np.linspace(0.12, np.pi - 0.12, len(path))) ** taper
        hairs = max(3, round(width * SS / 1.8))
        thick = max(2, round(width * SS / hairs * 1.25))
        places = np.linspace(-0.5, 0.5, hairs) + rng.normal(0, 0.25 / hairs, hairs)
        tints = np.asarray(colour) + rng.normal(0, streak, (hairs, 1)) + rng.normal(0, streak * 0.4, (hairs, 3))
        # A loaded brush pushes paint to its sides, so that the edges stand higher than the middle.
        ridges = 110 + 240 * places**2 + rng.normal(0, 34, hairs)
        inks = np.clip(np.c_[tints, ridges], 0, 255)
        for hair in rng.permutation(hairs):
            line = path + across * (places[hair] * width * swell)[:, None]
            first = int(rng.integers(0, 2)) if len(path) > 5 else 0
            last = max(first + 2, len(path) - int(rng.integers(0, 2)))
            points = np.int32(line[first:last] * SS * 16)
            cv2.polylines(self.paint, [points], False, inks[hair].tolist(), thick, cv2.LINE_AA, 4)

    def cover(
        self,
        rng: np.random.Generator,
        plan: Plane,
        angle: Plane,
        width: float,
        length: float,
        density: float = 1.0,
        where: Plane | None = None,
        jitter: float = 10,
        streak: float = 14,
    ) -> None:
        """A whole layer of strokes that take their colours from `plan` and follow `angle`, laid in random order.

        `density` 1 about covers the canvas once; `where` is the chance that a stroke is laid at all.
        """
        count = int(WIDTH * HEIGHT * density * 1.6 / (width * length))
        starts = rng.uniform((-10, -10), (WIDTH + 10, HEIGHT + 10), (count, 2)).astype(np.float32)
        column = np.clip(starts[:, 0] * SS, 0, SHAPE[1] - 1).astype(int)
        row = np.clip(starts[:, 1] * SS, 0, SHAPE[0] - 1).astype(int)
        if where is not None:
            kept = rng.random(count) < where[row, column]
            starts, column, row = starts[kept], column[kept], row[kept]
        lengths = (length * rng.uniform(0.6, 1.3, len(starts))).astype(np.float32)
        widths = width * rng.uniform(0.7, 1.25, len(starts))
        colours = plan[row, column] * 255 + rng.normal(0, jitter, (len(starts), 1))
        colours += rng.normal(0, jitter * 0.7, (len(starts), 3))
        for path, wide, colour in zip(trace(angle, starts, lengths), widths, colours, strict=True):
            self.stroke(rng, path, wide, colour, streak)

    def lit(self, strength: float = 1.0) -> Plane:
        """The paint as seen in light from the upper left: ridges catch it, furrows lose it, and wet crests glint."""
        thick = self.paint[..., 3].astype(np.float32) / 255
        light = np.clip(relief(thick, 0.20 * strength), -0.42, 0.42)
        colours = self.paint[..., :3].astype(np.float32) / 255
        glint = np.clip(light - 0.12, 0, 1) * 0.5 * strength
        return colours * (1 + light)[..., None] + glint[..., None]


def curve(points: Sequence[tuple[float, float]], count: int = 60) -> NDArray[np.float32]:
    """A smooth path (count, 2) through a few points, as a Catmull-Rom spline."""
    p = np.array([points[0], *points, points[-1]], np.float32)
    at = np.linspace(0, len(points) - 1 - 1e-4, count)
    i, t = at.astype(int), (at % 1)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    path = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    return (path / 2).astype(np.float32)
