"""Distils `lite` from VGG-19.

    python -m training.distill --teacher vgg19.safetensors --pictures photos paintings --out models/lite.safetensors

Each tap of the student learns, through a linear head A, to span the teacher's tap: A f ≈ F, and the *difference* of
two pictures' Gram matrices, A (g_i − g_j) Aᵀ ≈ G_i − G_j, which is what the style loss feels. Afterwards (AᵀA)^½
becomes the tap's metric, and the small Gram loss equals the big one to first order.

Once the student can see, half of the pairs are pictures that are being optimised against it, as they will be in use,
and mostly the very styles that they are to look like.

It learns in two phases: the whole network on small crops; then, its front frozen and each picture's way through it
remembered, the deep stages alone on large ones, which costs a third per pixel. Deep taps need it most: what is
hardest to learn is relu5_1, of which each position sees 156 pixels.

`--start` goes on from a finished file, with rates that rise and fall anew; with `--steps 0` in the deep stages alone.

A checkpoint is written every `--checkpoint-every` steps; the same command continues from it (with pictures drawn
anew). Beside it: a log with a line for each checkpoint (.jsonl) and its curve (.png).
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from matplotlib.figure import Figure
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from nst_video.errors import UsageError
from nst_video.networks import lite_stages
from nst_video.weights import load_network, read_state, vgg19
from training.muon import Muon
from training.pictures import Crops, load_pictures
from training.practice import Cohort, Corpus
from training.student import FRONT, Student, stacked
from training.teacher import STYLE_TAPS, TAPS, Sample, Teacher

COHORTS = 3
PAINT_EVERY = 25
"""Steps between two turns of painting; each is one cohort's, and brings some new mixed scenes as well."""
PAINT_FROM = 0.1
"""The share of the first phase after which the student is good enough to paint with."""
CALIBRATION = 32
"""On so many pictures activations are measured, to normalise the teacher and to scale the taps."""
EXACT_FROM = 0.85
"""The share of a phase after which it is in float32, no longer in bfloat16."""
OWN_FLOOR, OTHER_FLOOR = 0.05, 0.02
"""A difference of Gram matrices counts relative to itself, and not as less than this share of the matrix: the last
bit of a style need not be learned at the cost of the rest."""


@dataclass(frozen=True)
class Phase:
    """Part of a training: how many steps, of how many pairs, of crops of which size, painted how many at a time."""

    steps: int
    pairs: int
    crop: int
    cohort: int
    taps: tuple[str, ...]
    deep: bool


def write_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """A state dict as a weight file, in float16; it takes its name only when it is whole."""
    partial = path.with_suffix(".partial")
    save_file({name: tensor.half().contiguous() for name, tensor in state.items()}, partial)
    partial.chmod(0o644)
    partial.replace(path)


def energies(matrices: Tensor) -> Tensor:
    """The sum of squares of each of (N, K, K)."""
    return matrices.flatten(1).square().sum(1)


def distillation_loss(
    student: Student, samples: list[Sample], taps: Sequence[str], *, exact: bool
) -> dict[str, Tensor]:
    """The parts of the loss over pairs (2i, 2i+1) of samples: features, Gram differences of pairs and of strangers.

    Nothing as large as the teacher's activations or Gram matrices is made: with g = fᵀf, C = fᵀF, S = AᵀGA and
    M = AᵀA, ‖A f − F‖² is ‖F‖² − 2⟨Aᵀ, C⟩ + ⟨M, g⟩ and ‖A d Aᵀ − D‖² is tr(dMdM) − 2⟨S_i − S_j, d⟩ + ‖D‖².
    """
    parts = dict[str, Tensor]()
    for tap, found in student.look(samples, taps, exact=exact).items():
        head, positions = student.heads[tap], found.shape[1]
        wanted = stacked([s.components[tap] for s in samples])
        grams = stacked([s.grams[tap] for s in samples])
        own = found.transpose(1, 2) @ found / positions
        shared = found.transpose(1, 2) @ wanted / positions
        metric = head.T @ head
        energy = grams.diagonal(dim1=1, dim2=2).sum(1)
        missed = energy - 2 * (head.T * shared).sum((1, 2)) + (metric * own).sum((1, 2))
        parts[f"{tap} features"] = (missed / energy).mean()
        if tap not in STYLE_TAPS:
            continue
        seen = head.T @ (grams.flatten(0, 1) @ head).view(len(grams), -1, head.shape[1])
        size = energies(grams)

        def gap(d: Tensor, s: Tensor, target: Tensor, floor: Tensor, metric: Tensor = metric) -> Tensor:
            passed = d @ metric
            squares = (passed * passed.transpose(1, 2)).sum((1, 2)) - 2 * (s * d).sum((1, 2)) + target
            return (squares / (target + floor)).mean()

        parts[f"{tap} pair"] = gap(
            own[::2] - own[1::2],
            seen[::2] - seen[1::2],
            energies(grams[::2] - grams[1::2]),
            OWN_FLOOR * size[1::2],
        )
        parts[f"{tap} strangers"] = gap(
            own - own.roll(2, 0), seen - seen.roll(2, 0), energies(grams - grams.roll(2, 0)), OTHER_FLOOR * size
        )
    return parts


def total(parts: dict[str, Tensor]) -> Tensor:
    """The loss: strangers count half, relu5_1, which is the hardest, double."""
    weights = [(0.5 if "strangers" in name else 1.0) * (2.0 if "relu5_1" in name else 1.0) for name in parts]
    return torch.stack([weight * part for weight, part in zip(weights, parts.values(), strict=True)]).sum()


def learning_rate(share: float) -> float:
    """What the rates are multiplied with at this share of the training: up quickly, then slowly down to nothing."""
    return min(1.0, share / 0.01 + 0.02) * (1.0 if share < 0.3 else max(0.005, (1 - share) / 0.7))


class Training:
    """A run that can be cut off at any step."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args, self._device = args, torch.device(args.device)
        self._checkpoint = args.out.with_suffix(".checkpoint.pth")
        torch.manual_seed(args.seed)
        self._rng = random.Random(args.seed)
        self._collections = load_pictures(args.pictures)
        self._calibration = Crops(self._collections[:1], 224, random.Random(0)).batch(CALIBRATION)
        network = vgg19(read_state(args.teacher), args.teacher, caffe=True)
        network.normalize(self._calibration[:8])
        pictures = Crops(self._collections, args.crop, random.Random(args.seed)).batch(32)
        self._teacher = Teacher(network, pictures, self._device)
        self._student = Student(self._device, args.front)
        self.step = 0
        if self._checkpoint.exists():
            optimizers = self._resume()
            if self.step < self.total:
                self._enter(optimizers)
        else:
            if args.start:
                self._student.take(load_network("lite", weights=args.start))
            else:
                self._student.begin(self._teacher, pictures)
            self._enter(None)
            self._student.fit_heads(self._corpus.pairs(32), self._phase.taps)

    @property
    def total(self) -> int:
        """Steps of both phases."""
        return int(self._args.steps + self._args.deep_steps)

    def advance(self) -> dict[str, float]:
        """One step; the parts of its loss."""
        if self.step == self._args.steps and not self._phase.deep:
            self._enter(None)
        phase = self._phase
        done = self.step - (self._args.steps if phase.deep else 0)
        share = done / phase.steps
        if (phase.deep or self._args.start or share >= PAINT_FROM) and done % PAINT_EVERY == 0:
            self._paint(done // PAINT_EVERY % COHORTS)
        pairs = self._corpus.pairs(phase.pairs)
        parts = distillation_loss(self._student, pairs, phase.taps, exact=share >= EXACT_FROM)
        loss = total(parts)
        for optimizer, rate in self._optimizers:
            optimizer.param_groups[0]["lr"] = rate * learning_rate(share)
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._weights, 1.0)
        for optimizer, _ in self._optimizers:
            optimizer.step()
        self.step += 1
        values = torch.stack([loss, *parts.values()]).tolist()
        return dict(zip(("loss", *parts), values, strict=True))

    def save(self) -> None:
        """Checkpoint, and the network as it is."""
        state = {
            "step": self.step,
            "network": self._student.network.state_dict(),
            "heads": {tap: head.detach() for tap, head in self._student.heads.items()},
            "optimizers": [optimizer.state_dict() for optimizer, _ in self._optimizers],
            "axes": self._teacher.axes,  # the heads speak of these
            "deep": self._phase.deep,
            "front": self._args.front,
        }
        partial = self._checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self._checkpoint)
        network = self._student.finished(self._calibration)
        write_weights(network.state_dict(), self._args.out)

    def _enter(self, optimizers: list[dict[str, Any]] | None) -> None:
        """Begin the phase that this step belongs to, or go on with it."""
        args, student = self._args, self._student
        if self.step < args.steps:
            self._phase = Phase(args.steps, args.pairs, args.crop, cohort=8, taps=TAPS, deep=False)
            weights: list[Tensor] = list(student.network.parameters())
            heads = list(student.heads.values())
        else:
            self._phase = Phase(
                args.deep_steps, args.deep_pairs, args.deep_crop, cohort=4, taps=student.deep_taps, deep=True
            )
            weights, heads = student.deep_weights, [student.heads[tap] for tap in student.deep_taps]
        bulk = [w for w in weights if w.ndim == 4 and w.shape[1] > 3]
        rest = [w for w in weights if not any(w is other for other in bulk)]
        self._weights = [*weights, *heads]
        self._optimizers: list[tuple[torch.optim.Optimizer, float]] = [
            (Muon(bulk, lr=args.muon_rate), args.muon_rate),
            (torch.optim.AdamW([*rest, *heads], lr=args.rate, weight_decay=1e-4), args.rate),
        ]
        for (optimizer, _), state in zip(self._optimizers, optimizers or [], strict=False):
            optimizer.load_state_dict(state)
        crops = Crops(self._collections, self._phase.crop, self._rng)
        self.__dict__.pop("_corpus", None)  # the memory of the last one is free before a new one is made
        self._cohorts: list[Cohort | None] = [None] * COHORTS
        self._corpus = Corpus(self._ask, crops, args.scenes)

    def _resume(self) -> list[dict[str, Any]] | None:
        """Take over a checkpoint; its optimisers' states, unless a phase has just ended."""
        saved: dict[str, Any] = torch.load(self._checkpoint, map_location="cpu")
        self.step = saved["step"]
        ended = self.step == self._args.steps
        if saved["deep"] != (self.step >= self._args.steps) and not ended:
            raise SystemExit(f"{self._checkpoint} is of a training with other --steps")
        front = saved.get("front", FRONT)  # which there was no choice of at first
        if front != self._args.front:
            raise SystemExit(f"{self._checkpoint} is of a training with --front {front}")
        self._student.network.load_state_dict(saved["network"])
        for tap, head in saved["heads"].items():
            self._student.heads[tap].data.copy_(head)
        self._teacher.axes = {tap: axes.to(self._device) for tap, axes in saved["axes"].items()}
        self._rng.seed(self._args.seed + self.step)  # other pictures and other noise than at the start
        torch.manual_seed(self._args.seed + self.step)
        return None if ended else saved["optimizers"]

    def _ask(self, images: Tensor) -> list[Sample]:
        images = images.to(self._device)
        fronts = self._student.front(images) if self._phase.deep else None
        return self._teacher.samples(images, self._phase.taps, fronts)

    def _paint(self, turn: int) -> None:
        cohort = self._cohorts[turn]
        if cohort is None or cohort.retired:
            cohort = self._cohorts[turn] = Cohort(self._corpus, self._phase.cohort, self._rng)
        self._student.measure()
        cohort.paint(self._student.network, self._rng.choice((5, 10, 20)))
        self._corpus.mix(3)


def read_log(log: Path, steps: int) -> list[dict[str, float]]:
    """The lines of a log up to this step; what lies behind it was never saved and is cut off."""
    if not log.exists():
        return []
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["step"] <= steps]


def write_log(log: Path, lines: list[dict[str, float]]) -> None:
    """The log, and as a picture beside it the curve of each part of the loss (strangers left out)."""
    log.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    names = sorted({name for line in lines for name in line} - {"step", "seconds", "loss"})
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for name in names:
        if not name.endswith("strangers"):
            found = [(line["step"], line[name]) for line in lines if name in line]
            axes.plot(*zip(*found, strict=True), label=name)
    axes.set(yscale="log", xlabel="step", ylabel="share of the teacher's energy that is missed")
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend()
    figure.savefig(log.with_suffix(".png"), dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, required=True, help="VGG-19 weights, the original (caffe) set")
    parser.add_argument("--pictures", type=Path, nargs="+", required=True, help="folders, drawn from equally")
    parser.add_argument("--out", type=Path, required=True, help="the weight file; checkpoint and log go beside it")
    parser.add_argument(
        "--start",
        type=Path,
        help="a finished weight file to go on from, instead of from nothing; a checkpoint beside --out comes first",
    )
    parser.add_argument("--steps", type=int, default=6750, help="of the whole network")
    parser.add_argument("--pairs", type=int, default=3, help="pairs of pictures per step")
    parser.add_argument("--crop", type=int, default=160, help="crop size in pixels")
    parser.add_argument("--deep-steps", type=int, default=7000, help="of the deep stages alone")
    parser.add_argument("--deep-pairs", type=int, default=4, help="pairs of pictures per step of these")
    parser.add_argument("--deep-crop", type=int, default=224, help="crop size of these")
    parser.add_argument(
        "--front",
        choices=list(lite_stages())[:-1],
        default=FRONT,
        help="the last stage that these leave as it is (default: %(default)s)",
    )
    parser.add_argument("--scenes", type=int, default=450, help="scenes kept in memory, about 14 MB each")
    parser.add_argument("--muon-rate", type=float, default=5e-3, help="learning rate of the convolutions")
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate of the rest (AdamW)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint-every", type=int, default=250, metavar="STEPS")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    if not args.steps and not args.start:
        parser.error("--steps 0 trains the deep stages alone: --start has to name a file with the others")

    try:
        training, log = Training(args), args.out.with_suffix(".jsonl")
    except UsageError as error:
        raise SystemExit(str(error)) from None
    lines = read_log(log, training.step)
    before, begun = lines[-1]["seconds"] if lines else 0, time.monotonic()
    values: dict[str, list[float]] = defaultdict(list)
    bar = tqdm(total=training.total, initial=training.step, mininterval=5)
    while training.step < training.total:
        for name, value in training.advance().items():
            values[name].append(value)
        bar.update()
        if training.step % args.checkpoint_every == 0 or training.step == training.total:
            means = {name: round(fmean(some), 5) for name, some in values.items()}
            lines.append({"step": training.step, "seconds": round(before + time.monotonic() - begun), **means})
            bar.set_postfix(loss=means["loss"])
            values.clear()
            training.save()
            write_log(log, lines)


if __name__ == "__main__":
    main()
