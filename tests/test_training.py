"""The distillation of `lite`: its loss, its memory of the teacher, its practice, and that it can be cut off."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from nst_video import weights
from nst_video.losses import gram_matrix
from nst_video.networks import VGG19_WIDTHS, FeatureNetwork, vgg19_stages
from nst_video.weights import load_network
from training import distill, mean, teacher
from training import student as student_room
from training.distill import (
    distillation_loss,
    energies,
    learning_rate,
    read_log,
    write_log,
)
from training.mean import mean_of
from training.muon import Muon, orthogonal
from training.pictures import Crops, load_pictures
from training.practice import SHOTS, Cohort, Corpus
from training.student import Student
from training.teacher import STYLE_TAPS, TAPS, Sample, Teacher, rows

CPU = torch.device("cpu")
SMALL = {number: 64 if number == "1_1" else 6 for number in VGG19_WIDTHS}
KEPT = 5
REAL = dict(teacher.COMPONENTS)
WIDE = {**SMALL, "2_1": 48, "3_1": 128, "4_1": 256, "4_2": 256, "5_1": 384}
"""As many channels at the taps as are to be remembered in earnest."""


@pytest.fixture(autouse=True)
def _few_components(monkeypatch: pytest.MonkeyPatch) -> None:
    for tap in TAPS:
        monkeypatch.setitem(teacher.COMPONENTS, tap, KEPT)


def small_teacher(pictures: Tensor) -> Teacher:
    torch.manual_seed(1)
    network = FeatureNetwork(vgg19_stages("max", SMALL))
    network.normalize(pictures)
    return Teacher(network, pictures, CPU)


def noise(count: int, size: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def a_student(front: str = student_room.FRONT) -> Student:
    torch.manual_seed(2)
    student = Student(CPU, front)
    student.begin(small_teacher(noise(4)), noise(4))
    for head in student.heads.values():
        head.data.normal_()
    return student


def crops(size: int = 32, seed: int = 0) -> Crops:
    dice = np.random.default_rng(3)
    collections = [[dice.integers(0, 256, (50, 70, 3), np.uint8) for _ in range(3)] for _ in range(2)]
    return Crops(collections, size, random.Random(seed))


# Muon


@given(rows=st.integers(1, 12), columns=st.integers(1, 12), seed=st.integers(0, 2**32), scale=st.floats(1e-3, 1e3))
def test_what_muon_applies_is_nearly_orthogonal(rows: int, columns: int, seed: int, scale: float) -> None:
    matrix = scale * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    strong = torch.linalg.svdvals(matrix)
    found = torch.linalg.svdvals(orthogonal(matrix))[strong > 0.02 * strong[0]]  # five steps lift no weaker ones
    assert found.min() > 0.4
    assert found.max() < 1.3


def test_muon_goes_downhill_at_its_rate() -> None:
    torch.manual_seed(0)
    weight = torch.zeros(4, 3, 2, 2, requires_grad=True)
    target = torch.randn(4, 3, 2, 2)
    optimizer = Muon([weight], lr=0.05)
    distances = list[float]()
    for _ in range(100):
        optimizer.zero_grad()
        loss = (weight - target).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        distances.append(loss.item())
    assert distances[-1] < 0.05 * distances[0]
    optimizer.param_groups[0]["lr"] = 0.0
    before = weight.detach().clone()
    optimizer.step()
    assert torch.equal(weight, before)


# the teacher


def test_the_components_hold_the_most_of_the_teachers_activations() -> None:
    pictures = noise(6)
    master = small_teacher(pictures)
    for tap, features in master.activations(pictures).items():
        axes = master.axes[tap]
        assert torch.allclose(axes.T @ axes, torch.eye(axes.shape[1]), atol=1e-4)
        found = rows(features).float().flatten(0, 1)
        best = torch.linalg.svdvals(found).square()
        kept = (found @ axes).square().sum()
        assert kept == pytest.approx(best[: axes.shape[1]].sum().item(), rel=1e-2)


def test_a_sample_remembers_components_and_gram_matrix_in_half_precision() -> None:
    pictures = noise(3)
    master = small_teacher(pictures)
    samples = master.samples(pictures, ("relu2_1",), fronts=torch.ones(3, 2, 4, 4))
    assert len(samples) == 3
    found = rows(master.activations(pictures)["relu2_1"]).float() @ master.axes["relu2_1"]
    for i, sample in enumerate(samples):
        assert sample.components.keys() == {"relu2_1"}
        assert torch.allclose(sample.components["relu2_1"].float(), found[i], atol=2e-2)
        assert torch.allclose(
            sample.grams["relu2_1"].float(), found[i].T @ found[i] / len(found[i]), rtol=2e-2, atol=2e-2
        )
        assert sample.image.dtype == torch.float16
        assert sample.front is not None
        assert sample.image._base is None  # a view would keep the whole batch in memory


def test_the_first_filters_span_the_rest() -> None:
    """Of 64 filters of which 60 are doubles of four, those four are chosen first."""
    torch.manual_seed(1)
    network = FeatureNetwork(vgg19_stages("max", SMALL))
    first = network.state_dict()["stages.1_1.weight"]
    bias = network.state_dict()["stages.1_1.bias"]
    for i in range(64):
        first[i], bias[i] = first[i % 4] * (1 + i / 64), bias[i % 4] * (1 + i / 64)
    master = Teacher(network, noise(4), CPU)
    weight, _ = master.first_filters(4, noise(4))
    directions = (
        torch.nn.functional.normalize(weight.flatten(1)) @ torch.nn.functional.normalize(first[:4].flatten(1)).T
    )
    assert (directions > 0.99).sum(0).tolist() == [1, 1, 1, 1]


# the student


def test_the_student_begins_with_the_teachers_own_first_filters() -> None:
    student, master = a_student(), small_teacher(noise(4))
    weight, _ = master.first_filters(16, noise(4))
    assert torch.allclose(student.network.state_dict()["stages.1_1.weight"], weight)


def remembered(count: int, taps: tuple[str, ...] = TAPS, seed: int = 0) -> list[Sample]:
    return small_teacher(noise(4)).samples(noise(count, seed=seed), taps)


def test_the_loss_is_the_plain_formula() -> None:
    student, samples = a_student(), remembered(4)
    parts = distillation_loss(student, samples, TAPS, exact=True)
    for tap, own in student.look(samples, TAPS).items():
        head = student.heads[tap]
        wanted = torch.stack([s.components[tap] for s in samples]).float()
        grams = torch.stack([s.grams[tap] for s in samples]).float()
        missed = (own @ head.T - wanted).square().sum((1, 2)) / wanted.square().sum((1, 2))
        assert parts[f"{tap} features"].item() == pytest.approx(missed.mean().item(), rel=2e-2)
        if tap not in STYLE_TAPS:
            assert f"{tap} pair" not in parts
            continue
        found = head @ (own.transpose(1, 2) @ own / own.shape[1]) @ head.T
        pairs, strangers = list[Tensor](), list[Tensor]()
        for i in range(4):
            j = (i - 2) % 4
            error = energies((found[i] - found[j] - grams[i] + grams[j])[None])
            strangers.append(error / (energies((grams[i] - grams[j])[None]) + 0.02 * energies(grams[i][None])))
        for i, j in ((0, 1), (2, 3)):
            error = energies((found[i] - found[j] - grams[i] + grams[j])[None])
            pairs.append(error / (energies((grams[i] - grams[j])[None]) + 0.05 * energies(grams[j][None])))
        assert parts[f"{tap} pair"].item() == pytest.approx(torch.stack(pairs).mean().item(), rel=1e-2)
        assert parts[f"{tap} strangers"].item() == pytest.approx(torch.stack(strangers).mean().item(), rel=1e-2)


def test_least_squares_finds_better_heads_than_any_near_them() -> None:
    student, samples = a_student(), remembered(8)
    student.fit_heads(samples, TAPS)

    def missed() -> float:
        parts = distillation_loss(student, samples, TAPS, exact=True)
        return sum(part.item() for name, part in parts.items() if name.endswith("features"))

    best = missed()
    assert best < len(TAPS)  # which nothing at all would reach
    for head in student.heads.values():
        head.data.add_(0.1 * torch.randn_like(head) * head.abs().mean())
    assert missed() > best


def test_a_student_takes_up_what_shipped_where_it_was_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student_room, "COMPONENTS", REAL)
    torch.manual_seed(2)
    shipped, pictures = load_network("lite"), noise(2)
    student = Student(CPU)
    student.take(shipped)
    left = shipped(pictures, TAPS)
    for tap, features in student.finished(pictures)(pictures, TAPS).items():
        assert torch.allclose(features * left[tap].abs().mean(), left[tap], atol=2e-3 * left[tap].abs().max().item())
    heads = {tap: head.detach().clone() for tap, head in student.heads.items()}
    samples = [Sample(p, None, {"relu5_1": torch.rand(4, REAL["relu5_1"])}, {}) for p in pictures]
    student.fit_heads(samples, ("relu5_1",))
    changed = {tap for tap, head in student.heads.items() if not torch.equal(head, heads[tap])}
    assert changed == {"relu5_1"}


@pytest.mark.parametrize(("front", "taps"), [("halve3", 3), ("2_1", 4), ("4_1", 2)])
def test_a_remembered_front_leads_to_the_same_deep_activations(front: str, taps: int) -> None:
    student, samples = a_student(front), remembered(2)
    assert student.deep_taps == TAPS[-taps:]
    images = torch.stack([s.image for s in samples]).float()
    fronts = student.front(images)
    behind = [replace(s, front=front) for s, front in zip(samples, fronts, strict=True)]
    found, right = student.look(behind, student.deep_taps), student.look(samples, student.deep_taps)
    for tap in student.deep_taps:
        assert torch.allclose(found[tap], right[tap], rtol=1e-4, atol=1e-4)
    deep = sum(w.numel() for w in student.deep_weights)
    assert 0 < deep < sum(w.numel() for w in student.network.parameters())


def test_through_the_metric_small_distances_are_the_teachers() -> None:
    student = a_student()
    for tap, metric in student.metrics().items():
        head = student.heads[tap].detach()
        d = torch.randn(head.shape[1], head.shape[1])
        d = d + d.T
        assert (metric @ d @ metric).norm().item() == pytest.approx((head @ d @ head.T).norm().item(), rel=1e-3)


def test_the_finished_network_is_scaled_and_sees_what_the_student_sees() -> None:
    student, pictures = a_student(), noise(3)
    network = student.finished(pictures)
    features = network(pictures, TAPS)
    assert all(f.abs().mean().item() == pytest.approx(1, rel=1e-3) for f in features.values())
    for tap, own in student.network.activations(pictures, TAPS).items():
        metric = student.metrics()[tap]
        seen = torch.einsum("ij,njhw->nihw", metric, own)
        assert torch.allclose(features[tap] / features[tap].norm(), seen / seen.norm(), atol=1e-4)


def test_the_learning_rate_goes_up_and_then_down_to_nothing() -> None:
    rates = [learning_rate(i / 1000) for i in range(1001)]
    assert rates[0] < 0.05
    assert max(rates) == 1.0
    assert rates[-1] < 0.01
    peak = rates.index(1.0)
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


# practice


def ask(images: Tensor) -> list[Sample]:
    return [Sample(image, None, {}, {}) for image in images]


def test_new_scenes_push_out_old_ones() -> None:
    corpus = Corpus(ask, crops(), scenes=10)
    first = corpus.open(2)
    corpus.keep(first, noise(2))
    assert any(any(s is shot for shot in first[0].shots) for _ in range(60) for s in corpus.pairs(1))
    for _ in range(4):
        corpus.open(2)
    assert not any(any(s is shot for shot in first[0].shots) for _ in range(60) for s in corpus.pairs(1))


def test_painted_pictures_are_compared_with_their_own_style_or_content() -> None:
    corpus = Corpus(ask, crops(), scenes=10)
    scenes = corpus.open(2)
    for turn in range(SHOTS + 3):
        corpus.keep(scenes, noise(2, seed=turn))
    assert [len(scene.shots) for scene in scenes] == [SHOTS, SHOTS]
    pairs = [corpus.pairs(1) for _ in range(200)]
    painted = [(a, b) for a, b in pairs if any(a is s for scene in scenes for s in scene.shots)]
    assert 60 < len(painted) < 140
    for shot, other in painted:
        (scene,) = (scene for scene in scenes if any(shot is s for s in scene.shots))
        assert other is scene.style or other is scene.content


def test_a_cohort_is_painted_and_remembered() -> None:
    student = a_student()
    corpus = Corpus(ask, crops(), scenes=10)
    cohort = Cohort(corpus, 2, random.Random(0))
    student.measure()
    cohort.paint(student.network, 3)
    cohort.paint(student.network, 3)
    shots = [scene.shots for scene in cohort._scenes]
    assert [len(s) for s in shots] == [2, 2]
    assert not torch.equal(shots[0][0].image, shots[0][1].image)
    assert not cohort.retired
    assert all(p.requires_grad for p in student.network.parameters())
    before, after = (
        sum(
            (gram_matrix(f) - gram_matrix(t)).square().sum().item()
            for f, t in zip(
                student.network.activations(images, STYLE_TAPS).values(),
                student.network.activations(cohort._styles, STYLE_TAPS).values(),
                strict=True,
            )
        )
        for images in (cohort._contents, torch.stack([s[1].image for s in shots]))
    )
    assert after < before


# pictures


def test_crops_are_squares_in_range_and_the_same_for_the_same_seed() -> None:
    batch = crops(seed=5).batch(6)
    assert batch.shape == (6, 3, 32, 32)
    assert 0 <= batch.min() < batch.max() <= 1
    assert torch.equal(batch, crops(seed=5).batch(6))
    assert not torch.equal(batch, crops(seed=6).batch(6))


def test_a_folder_without_pictures_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(SystemExit, match="no pictures"):
        load_pictures([tmp_path])
    with pytest.raises(SystemExit, match="no folder"):
        load_pictures([tmp_path / "gone"])


# the whole run


def write_teacher(folder: Path, widths: dict[str, int]) -> None:
    stages = FeatureNetwork(vgg19_stages("max", widths)).state_dict()
    indices = iter((0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34))
    state = dict[str, Tensor]()
    for number, index in zip(widths, indices, strict=True):
        for part in ("weight", "bias"):
            state[f"features.{index}.{part}"] = stages[f"stages.{number}.{part}"]
    save_file(state, folder / "teacher.safetensors")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A training of three and two steps, with a small teacher and three pictures."""
    monkeypatch.setattr(weights, "VGG19_WIDTHS", SMALL)
    monkeypatch.setattr(distill, "PAINT_EVERY", 2)
    monkeypatch.setattr(distill, "CALIBRATION", 2)
    write_teacher(tmp_path, SMALL)
    (tmp_path / "pictures").mkdir()
    dice = np.random.default_rng(4)
    for i in range(3):
        cv2.imwrite(str(tmp_path / "pictures" / f"{i}.png"), dice.integers(0, 256, (40, 50, 3), np.uint8))

    def run(*more: str) -> None:
        given = (
            f"--teacher {tmp_path}/teacher.safetensors --pictures {tmp_path}/pictures --out {tmp_path}/lite.safetensors"
        )
        small = "--device cpu --steps 3 --deep-steps 2 --pairs 2 --deep-pairs 2 --crop 32 --deep-crop 32 --scenes 5"
        monkeypatch.setattr(sys, "argv", ["distill", *given.split(), *small.split(), "--checkpoint-every", "1", *more])
        distill.main()

    return run


@pytest.mark.parametrize("cut", [1, 3, 4])
def test_a_training_that_was_cut_off_goes_on(
    command: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """At step 3 the first phase has just ended."""
    advance, enter, resumed = distill.Training.advance, distill.Training._enter, list[dict[str, object]]()

    def cut_off(self: distill.Training) -> dict[str, float]:
        if self.step == cut:
            raise KeyboardInterrupt
        return advance(self)

    def entered(self: distill.Training, optimizers: list[dict[str, object]] | None) -> None:
        enter(self, optimizers)
        memory = [tensor for optimizer, _ in self._optimizers for tensor in optimizer.state.values()]
        heads = {tap: head.detach().clone() for tap, head in self._student.heads.items()}
        resumed.append({"heads": heads, "axes": self._teacher.axes, "memories": len(memory)})

    monkeypatch.setattr(distill.Training, "advance", cut_off)
    with pytest.raises(KeyboardInterrupt):
        command()
    kept = torch.load(tmp_path / "lite.checkpoint.pth")
    monkeypatch.setattr(distill.Training, "advance", advance)
    monkeypatch.setattr(distill.Training, "_enter", entered)
    command()
    first = resumed[0]
    for name in ("heads", "axes"):
        values = cast(dict[str, Tensor], first[name])
        assert all(torch.equal(values[tap], kept[name][tap]) for tap in TAPS)
    assert (cast(int, first["memories"]) > 0) == (cut != 3)
    lines = [json.loads(line) for line in (tmp_path / "lite.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert [line["seconds"] for line in lines] == sorted(line["seconds"] for line in lines)
    assert "relu1_1 features" in lines[2]
    assert "relu1_1 features" not in lines[3]
    if cut == 4:
        weights, found = kept["network"], load_file(tmp_path / "lite.safetensors")
        same = {name for name, value in weights.items() if torch.equal(found[name], value.half())}
        assert "stages.halve3.weight" in same  # the front is frozen by then
        assert "stages.5_1.work.weight" not in same
    assert (tmp_path / "lite.png").stat().st_size > 1000
    load_network("lite", weights=tmp_path / "lite.safetensors")
    command()  # which is done at once
    assert len((tmp_path / "lite.jsonl").read_text().splitlines()) == 5


def test_a_training_goes_on_from_a_file_that_shipped(
    command: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the deep stages alone, what comes before them stays as it was."""
    for room in (teacher, student_room):
        monkeypatch.setattr(room, "COMPONENTS", REAL)
    write_teacher(tmp_path, WIDE)
    monkeypatch.setattr(weights, "VGG19_WIDTHS", WIDE)
    shipped = weights.NETWORKS["lite"].path()
    command("--start", str(shipped), "--steps", "0")
    before, after = load_file(shipped), load_file(tmp_path / "lite.safetensors")
    changed = {
        name for name, value in after.items() if name.startswith("stages") and not torch.equal(before[name], value)
    }
    assert "stages.4_a.work.weight" in changed
    assert not any(name.startswith(("stages.1", "stages.2", "stages.3", "stages.halve3")) for name in changed)


def test_what_cannot_be_read_is_told_in_one_line(command: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^no weight file [^\n]*$"):
        command("--start", str(tmp_path / "gone.safetensors"))


def test_deep_stages_alone_need_a_file_with_the_others(
    command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command("--steps", "0")
    assert "--start" in capsys.readouterr().err


def test_a_checkpoint_of_another_plan_is_refused(
    command: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command()
    monkeypatch.setattr(distill.Training, "total", property(lambda self: 9))
    saved = torch.load(tmp_path / "lite.checkpoint.pth")
    torch.save({**saved, "step": 2}, tmp_path / "lite.checkpoint.pth")
    with pytest.raises(SystemExit, match="other --steps"):
        command()
    with pytest.raises(SystemExit, match="--front halve3"):
        command("--front", "2_1", "--steps", "2")


def test_a_log_loses_what_was_never_saved(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    assert read_log(log, 7) == []
    write_log(log, [{"step": 5.0, "a": 0.5, "loss": 1.0}, {"step": 10.0, "b": 0.25, "loss": 1.0}])
    assert (tmp_path / "log.png").stat().st_size > 1000
    assert read_log(log, 7) == [{"step": 5.0, "a": 0.5, "loss": 1.0}]
    assert len(read_log(log, 10)) == 2


def test_mean_of_two_networks_is_a_network_half_way_between(tmp_path: Path) -> None:
    before = tmp_path / "before.safetensors"
    own = load_network("lite")
    save_file({name: (tensor * 1.5).half() for name, tensor in own.state_dict().items()}, before)
    mean_of([before, weights.NETWORKS["lite"].path()], tmp_path / "mean.safetensors")
    found = load_network("lite", weights=tmp_path / "mean.safetensors").state_dict()
    for name, tensor in own.state_dict().items():
        torch.testing.assert_close(found[name], 1.25 * tensor, rtol=2e-3, atol=1e-6)
    assert {path.name for path in tmp_path.iterdir()} == {"before.safetensors", "mean.safetensors"}


def test_mean_says_in_one_line_what_it_cannot_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lite, out = weights.NETWORKS["lite"].path(), tmp_path / "mean.safetensors"
    for files, what in (([lite], "two files or more"), ([lite, tmp_path / "none.pth"], "no weight file")):
        monkeypatch.setattr(sys, "argv", ["mean", *map(str, files), "--out", str(out)])
        with pytest.raises(SystemExit, match=what):
            mean.main()
    assert not out.exists()
