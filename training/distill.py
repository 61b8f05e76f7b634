"""Distils `lite` from VGG-19.

    python -m training.distill --teacher vgg19.safetensors --pictures photos paintings --out models/lite.safetensors

Each tap of the student learns, through a linear head A, to span the teacher's tap: A f ≈ F, and the *difference*
of two pictures' Gram matrices, A (g_i − g_j) Aᵀ ≈ G_i − G_j, which is what the style loss feels. Afterwards
(AᵀA)^½ is folded into a k×k projection behind the tap, and the small Gram loss equals the big one to first order.

Half of every batch comes from a pool of pictures that are being optimised against the student itself, as they will
be in use: an optimiser drives a picture to where its network errs, so that is where the student has to learn.

A checkpoint is written every `--checkpoint-every` steps; the same command continues from it.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from nst_video.device import Compute
from nst_video.losses import gram_matrix, relative_difference
from nst_video.networks import LITE_TAPS, LITE_WIDTHS, VGG19_WIDTHS, FeatureNetwork
from nst_video.weights import read_state, vgg19

TAPS = tuple(f"relu{number}" for number in LITE_TAPS)
STYLE_TAPS = tuple(tap for tap in TAPS if tap != "relu4_2")
Pixels = NDArray[np.uint8]


def load_pictures(folders: list[Path]) -> list[list[Pixels]]:
    """RGB pictures of each folder, sorted by name so that a seed means the same run everywhere."""
    collections = []
    for folder in folders:
        found = [cv2.imread(str(path)) for path in sorted(folder.iterdir())]
        collections.append([np.asarray(p[..., ::-1], np.uint8) for p in found if p is not None])
        if not collections[-1]:
            raise SystemExit(f"no pictures in {folder}")
    return collections


class Crops:
    """Random crops: photographs and paintings alike, scaled, mirrored, some mixed, some noisy."""

    def __init__(self, collections: list[list[Pixels]], size: int, rng: random.Random) -> None:
        self.collections, self.size, self.rng = collections, size, rng

    def plain(self) -> Tensor:
        picture = self.rng.choice(self.rng.choice(self.collections))
        side = min(picture.shape[:2])
        cut = min(side, int(self.size * math.exp(self.rng.uniform(0.0, math.log(max(side / self.size, 1.0) + 1e-6)))))
        y, x = (self.rng.randint(0, extent - cut) for extent in picture.shape[:2])
        crop = cv2.resize(picture[y : y + cut, x : x + cut], (self.size, self.size), interpolation=cv2.INTER_AREA)
        if self.rng.random() < 0.5:
            crop = crop[:, ::-1]
        return torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1).float() / 255

    def mixed(self) -> Tensor:
        crop, kind = self.plain(), self.rng.random()
        if kind < 0.15:  # between two pictures, as between a content and a style
            crop = torch.lerp(crop, self.plain(), self.rng.uniform(0.2, 0.8))
        elif kind < 0.35:  # on the way from noise
            crop = torch.lerp(crop, torch.rand(crop.shape), self.rng.uniform(0.05, 0.9))
        return crop


@dataclass
class Pool:
    """Pictures half-way through an optimisation against the student, with their targets and Adam moments."""

    images: Tensor
    contents: Tensor
    styles: Tensor
    mean: Tensor
    square: Tensor
    age: Tensor

    @classmethod
    def fill(cls, crops: Crops, count: int, device: torch.device) -> Pool:
        contents = torch.stack([crops.plain() for _ in range(count)]).to(device)
        styles = torch.stack([crops.plain() for _ in range(count)]).to(device)
        zeros = torch.zeros_like(contents)
        return cls(contents.clone(), contents, styles, zeros, zeros.clone(), torch.zeros(count, dtype=torch.long))

    def advance(self, student: FeatureNetwork, picks: Tensor, crops: Crops) -> Tensor:
        """One optimiser step on the picked pictures; some that are old start afresh. Returns them, (n, 3, s, s)."""
        for i in picks.tolist():
            if self.age[i] > crops.rng.randint(20, 150):
                device = self.images.device
                self.contents[i], self.styles[i] = crops.plain().to(device), crops.plain().to(device)
                self.images[i] = self.contents[i] if crops.rng.random() < 0.8 else torch.rand_like(self.contents[i])
                self.mean[i], self.square[i], self.age[i] = 0, 0, 0
        with torch.no_grad():
            targets = student(torch.cat([self.styles[picks], self.contents[picks]]), TAPS)
        image = self.images[picks].requires_grad_()
        with torch.enable_grad():
            features = student(image, TAPS)
            n = len(picks)
            loss = 0.05 * relative_difference(features["relu4_2"], targets["relu4_2"][n:])
            for tap in STYLE_TAPS:
                target = gram_matrix(targets[tap][:n])
                each = (gram_matrix(features[tap]) - target).square().sum((1, 2)) / target.square().sum((1, 2))
                loss = loss + each.mean() / len(STYLE_TAPS)
            (gradient,) = torch.autograd.grad(loss, image)
        step = self.age[picks].add(1).view(-1, 1, 1, 1).to(gradient)
        self.mean[picks] = 0.9 * self.mean[picks] + 0.1 * gradient
        self.square[picks] = 0.99 * self.square[picks] + 0.01 * gradient.square()
        move = (self.mean[picks] / (1 - 0.9**step)) / ((self.square[picks] / (1 - 0.99**step)).sqrt() + 1e-8)
        self.images[picks] = (image.detach() - 0.02 * move).clamp(0, 1)
        self.age[picks] += 1
        return self.images[picks]


def relative_by_picture(value: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of Σ(V − T)²/ΣT²."""
    difference = (value - target).square().flatten(1).sum(1)
    return (difference / target.square().flatten(1).sum(1).clamp_min(1e-12)).mean()


def distillation_loss(
    heads: nn.ModuleDict, student: dict[str, Tensor], teacher: dict[str, Tensor]
) -> tuple[Tensor, dict[str, float]]:
    """Feature loss plus loss of Gram differences, over all taps; and each part's value for the log."""
    total, parts = torch.zeros((), device=next(heads.parameters()).device), {}
    for tap in TAPS:
        head, wanted = cast(nn.Conv2d, heads[tap.removeprefix("relu")]), teacher[tap]
        feature = relative_by_picture(head(student[tap]), wanted.float())
        total = total + feature
        parts[f"{tap} features"] = feature.detach().item()
        if tap in STYLE_TAPS:
            matrix = head.weight.flatten(1)
            half, full = gram_matrix(student[tap]), gram_matrix(wanted)
            # Pairs (i, i+1): what differs between two pictures' Gram matrices is what the style loss feels.
            gap = relative_by_picture(matrix @ (half - half.roll(1, 0)) @ matrix.T, full - full.roll(1, 0))
            total = total + gap
            parts[f"{tap} gram"] = gap.detach().item()
    return total, parts


@torch.no_grad()
def fold(student: FeatureNetwork, heads: nn.ModuleDict, pictures: Tensor) -> FeatureNetwork:
    """The network that ships: (AᵀA)^½ behind each tap, scaled so that the tap's mean magnitude on `pictures` is 1."""
    folded = FeatureNetwork(LITE_WIDTHS, projected=LITE_TAPS)
    folded.convs.load_state_dict(student.convs.state_dict())
    for number in LITE_TAPS:
        head = cast(nn.Conv2d, heads[number]).weight.flatten(1).double().cpu()
        energy, axes = torch.linalg.eigh(head.T @ head)
        root = axes @ torch.diag(energy.clamp_min(0).sqrt()) @ axes.T
        folded.tap(number).weight.copy_(root.float()[..., None, None])
    features = folded(pictures, TAPS)
    for number in LITE_TAPS:
        folded.tap(number).weight.div_(features[f"relu{number}"].abs().mean())
    return folded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, required=True, help="VGG-19 weights, the original (caffe) set")
    parser.add_argument("--pictures", type=Path, nargs="+", required=True, help="folders, drawn from equally")
    parser.add_argument("--out", type=Path, required=True, help="the weight file; checkpoint and log go beside it")
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=128, help="crop size in pixels")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint-every", type=int, default=250)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()

    device = torch.device(args.device)
    checkpoint, log = args.out.with_suffix(".checkpoint.pth"), args.out.with_suffix(".jsonl")
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    collections = load_pictures(args.pictures)
    crops = Crops(collections, args.crop, rng)
    calibration = torch.stack([Crops(collections[:1], 224, random.Random(0)).plain() for _ in range(32)])

    teacher = vgg19(read_state(args.teacher), args.teacher, caffe=True).requires_grad_(False)
    teacher.normalize(calibration[:8])
    teacher = Compute(device, torch.bfloat16, "teacher").place(teacher)
    student = Compute(device, torch.float32, "student").place(FeatureNetwork(LITE_WIDTHS))
    for number in student.numbers:
        nn.init.kaiming_normal_(student.conv(number).weight, nonlinearity="relu")
        nn.init.zeros_(cast(Tensor, student.conv(number).bias))
    student.normalize(calibration[:8].to(device))
    heads = nn.ModuleDict({n: nn.Conv2d(LITE_WIDTHS[n], VGG19_WIDTHS[n], 1, bias=False) for n in LITE_TAPS}).to(device)
    weights = [*student.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=args.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=args.learning_rate, total_steps=args.steps, pct_start=0.05, final_div_factor=100
    )
    pool = Pool.fill(crops, 48, device)
    start = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=False)
        student.load_state_dict(saved["student"])
        heads.load_state_dict(saved["heads"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        pool, start = saved["pool"], saved["step"]
        rng.setstate(saved["random"])
        torch.set_rng_state(saved["torch_random"].cpu())

    begun, sums, counted = time.monotonic(), dict[str, float](), 0
    bar = tqdm(range(start, args.steps), initial=start, total=args.steps, mininterval=5)
    for step in bar:
        fresh = torch.stack([crops.mixed() for _ in range(args.batch - args.batch // 2)]).to(device)
        picks = torch.randperm(len(pool.images))[: args.batch // 2]
        batch = torch.cat([fresh, pool.advance(student, picks, crops)])
        batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            wanted = teacher(batch.bfloat16(), TAPS)
        loss, parts = distillation_loss(heads, student(batch, TAPS), wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        for name, value in {"loss": loss.item(), **parts}.items():
            sums[name] = sums.get(name, 0.0) + value
        counted += 1
        if (step + 1) % args.checkpoint_every == 0 or step + 1 == args.steps:
            means = {name: round(value / counted, 5) for name, value in sums.items()}
            with log.open("a") as lines:
                lines.write(json.dumps({"step": step + 1, "seconds": round(time.monotonic() - begun), **means}) + "\n")
            bar.set_postfix(loss=means["loss"])
            sums, counted = {}, 0
            state = {
                "step": step + 1,
                "student": student.state_dict(),
                "heads": heads.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "pool": pool,
                "random": rng.getstate(),
                "torch_random": torch.get_rng_state(),
            }
            torch.save(state, checkpoint.with_suffix(".partial"))
            checkpoint.with_suffix(".partial").replace(checkpoint)
            folded = fold(student.cpu(), heads, calibration)
            student.to(device)
            save_file({k: t.half().contiguous() for k, t in folded.state_dict().items()}, args.out)


if __name__ == "__main__":
    main()
