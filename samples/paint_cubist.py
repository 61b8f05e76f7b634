"""A cubist still life in oil: the same things seen from many sides at once, one splinter each."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from paint_tools import HEIGHT, SHAPE, SS, WIDTH, Canvas, Colour, Pixels, Plane, curve, develop, flat, grid, noise, ramp

# Ochres, umbers and blue-greys that facets are glazed with.
_TINTS: tuple[Colour, ...] = (
    (204, 150, 74), (150, 98, 52), (92, 60, 42), (226, 200, 152), (112, 126, 140), (64, 82, 104), (170, 172, 162),
    (186, 96, 52),
)  # fmt: skip


def cubist(rng: np.random.Generator) -> Pixels:
    """A guitar, a bottle and a sheet of music, seen in splinters: ochre, umber and blue-grey planes.

    The sheet is cut again and again by straight lines; every facet shows the still life shifted and turned a little its
    own way, darkens towards one edge, and is painted with its own direction of the brush behind masking tape.
    """
    motif = _still_life(rng)
    facets = _splinters(rng, 78)
    x, y = grid()
    bristles = noise(rng, (90, 3), 3)
    canvas = Canvas((70, 54, 44))
    for facet in facets:
        centre = facet.mean(0)
        out = float(np.hypot(*(centre - (320, 256)))) / 400
        turn, zoom = rng.normal(0, 7), rng.uniform(0.88, 1.2)
        view = cv2.getRotationMatrix2D((centre * SS).tolist(), turn, zoom)
        view[:, 2] += rng.normal(0, 10, 2) * SS
        plan = cv2.warpAffine(motif, view, SHAPE[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        plan = plan + (flat(_TINTS[rng.integers(len(_TINTS))]) - plan) * rng.uniform(0.08, 0.36 + 0.5 * min(1, out))
        way = rng.uniform(0, 2 * np.pi)
        across = (facet - centre) @ (np.cos(way), np.sin(way))
        t = ((x - centre[0]) * np.cos(way) + (y - centre[1]) * np.sin(way) - across.min()) / np.ptp(across)
        # Deep shade along one edge that soon gives way to light is what folds the flat sheet into planes.
        shade = 0.34 + 0.98 * (1 - np.exp(-3.2 * np.clip(t, 0, 1)))
        turned = cv2.getRotationMatrix2D(tuple(centre * SS), -float(np.degrees(way)) + rng.normal(90, 20), 1)
        hairs = cv2.warpAffine(bristles, turned, SHAPE[::-1], borderMode=cv2.BORDER_REFLECT)
        plan = np.clip(plan * (shade * (1 + 0.085 * hairs))[..., None], 0, 1).astype(np.float32)
        mask = np.zeros(SHAPE, np.uint8)
        cv2.fillPoly(mask, [_fixed(facet)], 255, cv2.LINE_AA, 4)
        where = cv2.dilate(mask, np.ones((41, 41), np.uint8)).astype(np.float32) / 255
        piece = Canvas(plan)
        piece.paint[..., 3] = np.clip(128 + 26 * hairs, 0, 255)
        brush = np.full(SHAPE, way + np.pi / 2 + rng.normal(0, 0.3), np.float32)
        piece.cover(rng, plan, brush, 3.6, 13, 0.16, where=where, jitter=10, streak=7)
        piece.cover(rng, plan, brush, 1.8, 5, 0.16, where=where, jitter=14, streak=6)
        amount = (mask.astype(np.float32) / 255)[..., None]
        canvas.paint = np.uint8(canvas.paint + (piece.paint.astype(np.float32) - canvas.paint) * amount)
    for facet in facets:
        for a, b in zip(facet, np.roll(facet, -1, 0), strict=True):
            if rng.random() < 0.5:
                # Drawn edges: broken charcoal lines here, a lick of light paint there.
                ends = np.linspace(a, b, 9)[rng.integers(0, 3) : 9 - rng.integers(0, 3)]
                dark = rng.random() < 0.7
                canvas.stroke(rng, ends, 2.4 if dark else 3.0, (34, 26, 26) if dark else (240, 222, 180), 12, taper=0.6)
    return develop(canvas.lit(0.9))


def _splinters(rng: np.random.Generator, count: int) -> list[NDArray[np.float64]]:
    """The sheet cut into convex polygons: the biggest is halved along one of a few favourite directions, repeatedly."""
    pieces = [np.array([(-4, -4), (WIDTH + 4, -4), (WIDTH + 4, HEIGHT + 4), (-4, HEIGHT + 4)], float)]
    while len(pieces) < count:
        # Towards the middle facets are smaller, as that is where the eye should wander.
        weight = [cv2.contourArea(np.float32(p)) / (90 + np.hypot(*(p.mean(0) - (320, 250)))) for p in pieces]
        piece = pieces.pop(int(np.argmax(weight)))
        ways = np.array((0.35, 1.05, 1.62, 2.2, 2.75)) + rng.normal(0, 0.16, 5)
        normals = np.stack([-np.sin(ways), np.cos(ways)], 1)
        # Cutting across the long way keeps slivers rare.
        normal = normals[np.argmax(np.ptp(piece @ normals.T, axis=0) * rng.uniform(0.75, 1, 5))]
        edge, other = piece[rng.integers(len(piece))], piece.mean(0)
        side = (piece - other - (edge - other) * rng.uniform(-0.25, 0.25)) @ normal
        halves: tuple[list[NDArray[np.float64]], ...] = ([], [])
        for k in range(len(piece)):
            a, b, sa, sb = piece[k - 1], piece[k], side[k - 1], side[k]
            if sa * sb < 0:
                cut = a + (b - a) * sa / (sa - sb)
                halves[0].append(cut)
                halves[1].append(cut)
            halves[int(sb > 0)].append(b)
        pieces += [np.array(half) for half in halves if len(half) > 2]
    return pieces


class _Pencil:
    """Plain antialiased shapes on a plane of colours, in final pixels."""

    def __init__(self, sheet: Plane) -> None:
        self.sheet = np.uint8(np.clip(sheet, 0, 1) * 255)

    def fill(self, points: ArrayLike, colour: Colour) -> None:
        """A polygon."""
        cv2.fillPoly(self.sheet, [_fixed(points)], colour, cv2.LINE_AA, 4)

    def line(self, points: ArrayLike, colour: Colour, width: float) -> None:
        """A line through some points."""
        cv2.polylines(self.sheet, [_fixed(points)], False, colour, max(1, round(width * SS)), cv2.LINE_AA, 4)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A circle."""
        turn = np.linspace(0, 2 * np.pi, 60)
        self.fill(np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], 1), colour)


def _fixed(points: ArrayLike) -> NDArray[np.int32]:
    """Points for OpenCV's drawing with four fractional bits."""
    return np.int32(np.asarray(points, np.float32) * SS * 16)


def _still_life(rng: np.random.Generator) -> Plane:
    """What the cubist looks at: guitar, bottle, glass and music on a table, in plain shapes."""
    _, y = grid()
    wall = ((52, 70, 96), (124, 134, 140), (190, 164, 116), (150, 98, 52))
    pencil = _Pencil(ramp(0.45 + 0.24 * noise(rng, 120, 3) + (y - 256) / 700, *wall))
    fill, line, disc = pencil.fill, pencil.line, pencil.disc
    dark, cream = (30, 24, 26), (240, 226, 190)

    fill([(0, 400), (640, 352), (640, 512), (0, 512)], (112, 62, 36))
    for k in range(8):
        line([(0, 412 + 15 * k), (640, 366 + 19 * k)], (66, 36, 28), 2)

    fill([(404, 56), (600, 26), (622, 256), (426, 280)], cream)
    for k in range(20):
        row = 56 + 10 * k + 10 * (k // 5)
        line([(412, row + 22), (604, row - 6)], (90, 76, 70), 1)
        for left in rng.uniform(424, 590, 2):
            disc(left, row + 8, 5, dark)
            line([(left + 4.5, row + 8), (left + 4.5, row - 12)], dark, 1.6)

    fill([(72, 446), (72, 200), (106, 146), (108, 40), (154, 40), (156, 146), (190, 200), (190, 446)], (30, 66, 66))
    fill([(86, 436), (86, 206), (116, 152), (120, 70), (130, 70), (126, 164), (106, 212), (106, 436)], (132, 172, 156))
    fill([(73, 262), (189, 262), (189, 372), (73, 372)], (236, 212, 156))
    for k in range(3):
        line([(88, 286 + 28 * k), (174, 286 + 28 * k)], (160, 46, 30), 8)

    fill([(500, 456), (512, 326), (596, 322), (614, 452)], (182, 198, 206))
    fill([(504, 450), (510, 386), (604, 382), (610, 448)], (176, 40, 30))

    outline = (
        (330, 482), (214, 444), (216, 346), (278, 292), (250, 226), (306, 184), (378, 206), (388, 282), (446, 330),
        (436, 438), (330, 482),
    )  # fmt: skip
    body = curve(outline, 90)
    fill(body + np.array((11, 8)), dark)
    fill(body, (196, 108, 36))
    fill(body * 0.88 + np.array((330, 350)) * 0.12, (236, 170, 74))
    disc(326, 302, 42, (250, 222, 156))
    disc(326, 302, 34, dark)
    fill([(304, 290), (286, 30), (328, 26), (346, 290)], (62, 36, 30))
    for k in range(11):
        line([(290 + k, 50 + 22 * k), (330 + 1.4 * k, 48 + 22 * k)], (206, 184, 138), 2)
    fill([(278, 34), (268, -10), (342, -14), (336, 30)], dark)
    fill([(286, 406), (376, 402), (378, 418), (286, 422)], dark)
    for k in range(6):
        line([(293 + 5.6 * k, 30), (298 + 13 * k, 412)], (250, 240, 210), 1.4)
    return pencil.sheet.astype(np.float32) / 255
