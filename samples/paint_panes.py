"""Pictures put together from many small pieces: a mosaic of cut stones and a leaded window."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from paint_tools import (
    HEIGHT,
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
    mix,
    noise,
    relief,
    smoothstep,
    warp,
)


class Cells(NamedTuple):
    """For every sample: its nearest seed and the runner-up, and how far away (final pixels) these are."""

    owner: NDArray[np.int32]
    rival: NDArray[np.int32]
    near: Plane
    far: Plane


def _cells(seeds: Plane, angles: Plane | None, reach: NDArray[np.float32], scale: int) -> Cells:
    """Voronoi cells of `seeds` (N, 2), searched for within `reach` of each, with `scale` samples per final pixel.

    With `angles` distances are Chebyshev's in a frame turned by each seed's own angle, which makes the cells squares
    that line up with the angles (Hausner, "Simulating decorative mosaics", 2001); without, they are Euclidean.
    """
    shape = (HEIGHT * scale, WIDTH * scale)
    owner, rival = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    near, far = np.full(shape, 1e3, np.float32), np.full(shape, 1e3, np.float32)
    y, x = (m.astype(np.float32) / scale for m in np.mgrid[: shape[0], : shape[1]])
    for k, (cx, cy) in enumerate(seeds):
        left, right = (int(np.clip((cx + side * reach[k]) * scale, 0, shape[1])) for side in (-1, 1))
        top, bottom = (int(np.clip((cy + side * reach[k]) * scale, 0, shape[0])) for side in (-1, 1))
        box = np.s_[top:bottom, left:right]
        dx, dy = x[box] - cx, y[box] - cy
        if angles is None:
            distance = np.sqrt(dx * dx + dy * dy)
        else:
            cos, sin = np.cos(angles[k]), np.sin(angles[k])
            distance = np.maximum(np.abs(cos * dx + sin * dy), np.abs(cos * dy - sin * dx))
        first, second = distance < near[box], distance < far[box]
        far[box] = np.where(first, near[box], np.where(second, distance, far[box]))
        rival[box] = np.where(first, owner[box], np.where(second, k, rival[box]))
        near[box] = np.where(first, distance, near[box])
        owner[box] = np.where(first, k, owner[box])
    return Cells(owner, rival, near, far)


# ------------------------------------------------------------------------------------------------------------- mosaic

# Each area's colours, by rows that follow its outline inwards.
_STONES: tuple[tuple[Colour, ...], ...] = (
    ((16, 92, 112), (36, 142, 146), (122, 198, 180), (28, 124, 134), (12, 70, 98), (10, 50, 82)),  # 0 the sky
    ((250, 214, 96), (240, 190, 60), (226, 160, 40), (250, 222, 130)),  # 1 the sun
    ((204, 92, 48), (180, 66, 38), (226, 128, 66)),  # 2 its long flames
    ((246, 196, 84), (232, 160, 60)),  # 3 its short flames
    ((236, 226, 196), (150, 206, 196), (60, 160, 160), (24, 112, 130), (14, 74, 102)),  # 4 waves
    ((112, 190, 182), (22, 104, 128), (246, 232, 196), (30, 120, 136), (12, 70, 98)),  # 5 waves, deeper
    ((150, 48, 30), (206, 92, 48), (232, 140, 62), (244, 190, 92), (250, 222, 150)),  # 6 the fish
    ((244, 190, 70), (222, 120, 48), (170, 60, 36)),  # 7 fins
    ((250, 244, 220), (250, 244, 220)),  # 8 the eye's white
    ((14, 24, 38), (14, 24, 38)),  # 9 its pupil
)


def _blob(labels: NDArray[np.uint8], points: NDArray[np.float32] | list[tuple[float, float]], label: int) -> None:
    cv2.fillPoly(labels, [np.int32(np.asarray(points) * SS)], label)


def _scene() -> NDArray[np.uint8]:
    """What is where: a flaming sun, a leaping fish and rolling scalloped waves, as areas by number."""
    labels = np.zeros(SHAPE, np.uint8)
    sx, sy = 452, 150
    for label, count, length, turn in ((2, 12, 142, 0.0), (3, 12, 112, np.pi / 12)):
        for k in range(count):
            a = 2 * np.pi * k / count + turn
            spread = 0.21 if label == 2 else 0.17
            spine = [(r, a + 0.30 * np.sin((r - 60) / (length - 60) * np.pi)) for r in np.linspace(58, length, 14)]
            wide = [spread * (1 - i / 13) ** 0.8 for i in range(14)]
            outline = [(r, t - w) for (r, t), w in zip(spine, wide, strict=True)]
            outline += [(r, t + w) for (r, t), w in zip(spine[::-1], wide[::-1], strict=True)]
            _blob(labels, [(sx + r * np.cos(t), sy + r * np.sin(t)) for r, t in outline], label)
    cv2.circle(labels, (sx * SS, sy * SS), 62 * SS, 1, -1)
    for row in range(5):
        radius = 62
        for k in range(-1, 9):
            centre = (int((k * 92 + (row % 2) * 46) * SS), int((398 + row * 34) * SS))
            cv2.circle(labels, centre, radius * SS, 4 + row % 2, -1)
    spine = curve([(72, 336), (120, 262), (196, 216), (282, 226), (344, 292)], 40)
    along = np.gradient(spine, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], 1) / np.linalg.norm(along, axis=1, keepdims=True)
    half = 54 * np.sin(np.linspace(0.2, np.pi - 0.14, 40)) ** 0.72
    _blob(labels, [(92, 322), (20, 318), (6, 368), (44, 352), (66, 412), (98, 382), (104, 330)], 7)
    _blob(labels, curve([(140, 222), (152, 142), (214, 124), (262, 180), (250, 206)], 30), 7)
    _blob(labels, curve([(196, 262), (168, 322), (208, 350), (258, 300), (250, 268)], 30), 7)
    _blob(labels, np.r_[spine + across * half[:, None], (spine - across * half[:, None])[::-1]], 6)
    cv2.circle(labels, (306 * SS, 232 * SS), 15 * SS, 8, -1)
    cv2.circle(labels, (309 * SS, 233 * SS), 7 * SS, 9, -1)
    return labels


def mosaic(rng: np.random.Generator) -> Pixels:
    """A fish leaping towards a flaming sun, in cut stones and gold glass laid in rows along every outline."""
    labels = _scene()
    edges = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    inward = cv2.distanceTransform(np.uint8(~edges), cv2.DIST_L2, 5) / SS
    soft = blur(inward, 3.5)
    facing = np.arctan2(cv2.Sobel(soft, cv2.CV_32F, 0, 1, ksize=5), cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=5))
    x, y = grid()
    # Far from any outline the sky's rows circle the sun.
    facing = np.where((labels == 0) & (inward > 26), np.arctan2(y - 150, x - 452), facing)

    size = 8.4
    across, down = np.meshgrid(np.arange(size / 2, WIDTH, size), np.arange(size / 2, HEIGHT, size))
    seeds = np.stack([across.ravel(), down.ravel()], 1).astype(np.float32)
    seeds += rng.normal(0, 1.5, seeds.shape).astype(np.float32)
    reach = np.full(len(seeds), size * 1.9, np.float32)
    free = (~edges[::SS, ::SS]).ravel().astype(np.float32)
    sx, sy = x[::SS, ::SS].ravel(), y[::SS, ::SS].ravel()
    for _ in range(14):
        # Every stone moves to the middle of its cell, in which outlines do not count: so it backs away from them.
        owner = _cells(seeds, _at(facing, seeds), reach, 1).owner.ravel()
        weight = np.bincount(owner, free, len(seeds)) + 1e-3
        seeds = np.stack([np.bincount(owner, free * m, len(seeds)) / weight for m in (sx, sy)], 1).astype(np.float32)
    angles = _at(facing, seeds) + rng.normal(0, 0.05, len(seeds)).astype(np.float32)
    cells = _cells(seeds, angles, reach, SS)

    stones = np.zeros((len(seeds), 3), np.float32)
    place, depth = _at(labels, seeds).astype(int), _at(inward, seeds)
    circle = np.hypot(seeds[:, 0] - 452, seeds[:, 1] - 150)
    for k, (label, rows, ring) in enumerate(zip(place, depth, circle, strict=True)):
        palette = _STONES[label]
        if label == 0 and rows > 26:
            colour = palette[int(ring / size / 1.1) % len(palette)]
        else:
            colour = palette[min(int(rows / size), len(palette) - 1)]
        if label == 0 and rng.random() < 0.035:
            colour = _STONES[1][0]  # a stray gold stone, as a star
        stones[k] = np.array(colour) / 255
    stones *= np.exp(rng.normal(0, 0.13, (len(seeds), 1)) + rng.normal(0, 0.045, (len(seeds), 3)))

    gap = cells.far - cells.near + 0.5 * noise(rng, 7, 3)
    stone = smoothstep(0.9, 2.0, gap)
    dome = smoothstep(0.6, 3.6, gap)
    # No stone lies quite level: each leans its own way and so gets brighter towards one side.
    lean = rng.normal(0, 0.022, (len(seeds), 2))[cells.owner]
    home = seeds[cells.owner]
    face = 1 + lean[..., 0] * (x - home[..., 0]) * 1.5 + lean[..., 1] * (y - home[..., 1]) * 1.5
    vein = 0.05 * noise(rng, (10, 5), 4) + 0.03 * noise(rng, 3, 2)
    colours = stones[cells.owner] * (face + vein)[..., None]
    golden = np.isin(place, (1, 3))[cells.owner]
    colours += (golden * np.clip(noise(rng, 5, 3) - 0.7, 0, 1) * 0.22)[..., None] * flat((255, 236, 170))
    grout = flat((62, 54, 50)) * (1 + 0.14 * noise(rng, 4, 3))[..., None]
    light = np.clip(relief(dome + 0.05 * noise(rng, 5, 3), 0.22), -0.5, 0.5)
    picture = mix(grout, colours, stone) * (1 + light)[..., None]
    return develop(picture + np.clip(light - 0.2, 0, 1)[..., None] * 0.35)


def _at(plane: NDArray[np.generic], seeds: Plane) -> NDArray[np.generic]:
    """What `plane` holds at every seed."""
    column = np.clip(seeds[:, 0] * SS, 0, SHAPE[1] - 1).astype(int)
    return plane[np.clip(seeds[:, 1] * SS, 0, SHAPE[0] - 1).astype(int), column]


# ------------------------------------------------------------------------------------------------------ stained glass


def stained_glass(rng: np.random.Generator) -> Pixels:
    """A window that opens like a sunflower: panes at golden-angle turns, growing outwards, from amber to violet.

    Every pane is a Voronoi cell of hand-drawn glass: streaked along a direction of its own, seeded with bubbles,
    brighter where the sun stands behind it; the lead between is round and catches the room's light.
    """
    cx, cy, count = 296, 246, 210
    n = np.arange(count) + 0.6
    turn, radius = n * np.pi * (3 - np.sqrt(5)), 11.5 * n**0.675
    seeds = np.stack([cx + radius * np.cos(turn), cy + radius * np.sin(turn)], 1)
    seeds = (seeds + rng.normal(0, 0.035, seeds.shape) * radius[:, None]).astype(np.float32)
    cells = _cells(seeds, None, (26 + radius * 0.42).astype(np.float32), SS)
    x, y = grid()
    span = np.linalg.norm(seeds[cells.owner] - seeds[cells.rival], axis=-1) + 1e-3
    edge = (cells.far**2 - cells.near**2) / (2 * span)  # distance to the border of the pane
    edge = edge.astype(np.float32)

    families = (
        ((255, 214, 70), (255, 160, 30), (255, 236, 150)),
        ((236, 70, 30), (255, 140, 24), (214, 26, 40)),
        ((196, 16, 52), (240, 88, 40), (150, 14, 74)),
        ((20, 150, 110), (255, 188, 50), (14, 116, 140)),
        ((18, 98, 190), (26, 164, 150), (24, 60, 170)),
        ((38, 40, 150), (110, 40, 160), (24, 110, 196)),
    )
    ring = np.clip(radius / 395 * len(families) + rng.normal(0, 0.18, count), 0, len(families) - 1e-3).astype(int)
    tints = np.array([families[r][(k % 8) % 3] for k, r in enumerate(ring)]) / 255
    tints = np.clip(tints * np.exp(rng.normal(0, 0.10, (count, 3))), 0.02, 1).astype(np.float32)

    way = rng.uniform(0, np.pi, count)[cells.owner].astype(np.float32)
    swirl = noise(rng, 46, 4)
    u = x * np.cos(way) + y * np.sin(way) + 6 * swirl
    v = y * np.cos(way) - x * np.sin(way) + 5 * swirl
    drawn = warp(noise(rng, (70, 6), 4), u % (WIDTH - 1) - x, v % (HEIGHT - 1) - y)
    seedy = np.clip(noise(rng, 5, 2) - 1.9, 0, 1)
    thickness = 1.0 + 0.20 * drawn + 0.14 * swirl + 0.10 * noise(rng, 9, 3)
    # Beer's law: where the glass is thick its colour deepens instead of merely darkening.
    glass = tints[cells.owner] ** np.clip(thickness, 0.25, 2.4)[..., None]
    sun = 0.62 + 0.85 * np.exp(-(((x - cx) / 250) ** 2 + ((y - cy) / 220) ** 2))
    rim = 0.62 + 0.38 * smoothstep(0, 13, edge)
    waves = relief(drawn * 0.5 + swirl + 2.2 * seedy + 0.35 * noise(rng, 6, 3), 0.045)
    glass = glass * (sun * rim * (1 + waves))[..., None] + (seedy * 0.25)[..., None]
    glass += np.clip(blur(np.float32(glass), 7) - 0.35, 0, 1) * 0.30

    wide = 2.3 + 0.4 * noise(rng, 60, 2)
    came = smoothstep(0.5, -0.5, edge - wide)
    bead = np.sqrt(np.clip(1 - (edge / wide) ** 2, 0, 1)).astype(np.float32)
    lit = relief(blur(bead, 0.5) * 3 + 0.12 * noise(rng, 3, 3), 0.16)
    lead = flat((40, 40, 46)) * np.clip(1 + lit, 0.25, 3)[..., None]
    picture = mix(glass, lead, came)
    # Strong light spills over the lead.
    bloom = blur(np.float32(glass * (1 - came[..., None])), 5) * 0.20 * came[..., None]
    return develop(picture + bloom + 0.06 * blur(np.float32(glass), 16))
