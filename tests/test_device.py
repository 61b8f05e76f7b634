"""Where to compute: what is chosen, what is refused, and that a network in half precision stays differentiable."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nst_video import packed
from nst_video.device import Compute
from nst_video.errors import SettingsError
from nst_video.losses import Guide
from nst_video.networks import IMAGENET_MEAN, FeatureNetwork, Looked, vgg19_stages
from nst_video.tiles import TiledLook
from nst_video.weights import load_network


def pretend(monkeypatch: pytest.MonkeyPatch, *, cuda: bool = False, mps: bool = False, bf16: bool = True) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(("fast", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_cpu_computes_in_bf16_where_it_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, fast: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr("nst_video.device._multiplies_bf16", lambda: fast)
    compute = Compute.choose("cpu")
    assert (compute.device, compute.dtype) == (torch.device("cpu"), dtype)
    assert compute.name == ("CPU, bf16" if fast else "CPU, fp32")
    assert Compute.choose("cpu", "fp32").dtype == torch.float32
    assert Compute.choose("cpu", "bf16").dtype == torch.bfloat16


def test_auto_takes_the_best_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    assert Compute.choose().device.type == "cpu"
    pretend(monkeypatch, mps=True)
    assert Compute.choose().device.type == "mps"
    assert Compute.choose().dtype == torch.float32
    pretend(monkeypatch, cuda=True, mps=True)
    assert Compute.choose().device.type == "cuda"
    assert Compute.choose().dtype == torch.bfloat16
    assert Compute.choose().name == "Some GPU, bf16"
    pretend(monkeypatch, cuda=True, bf16=False)
    assert Compute.choose().dtype == torch.float32


def test_what_was_asked_for_is_taken_though_there_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, cuda=True)
    assert Compute.choose("cpu").device.type == "cpu"
    assert Compute.choose("cuda", "fp32").dtype == torch.float32
    assert Compute.choose("cuda", "fp16").dtype == torch.float16


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    pretend(monkeypatch)
    with pytest.raises(SettingsError, match=f"--device {device} is not on this machine; there is cpu"):
        Compute.choose(device)


def test_fp16_on_the_cpu_is_refused() -> None:
    with pytest.raises(SettingsError, match="--precision fp16"):
        Compute.choose("cpu", "fp16")


def test_threads_are_set_only_when_asked_for() -> None:
    torch.set_num_threads(1)
    Compute.choose("cpu", threads=0)
    assert torch.get_num_threads() == 1
    Compute.choose("cpu", threads=2)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_placed_network_takes_images_and_hands_gradients_back_in_float32(precision: str) -> None:
    compute = Compute.choose("cpu", precision)
    network = compute.place(FeatureNetwork(vgg19_stages("max", {"1_1": 4, "2_1": 4})))
    assert next(network.stages["2_1"].parameters()).dtype == compute.dtype
    image = torch.rand(1, 3, 16, 16).requires_grad_()
    entered = network.enter(image)
    assert entered.dtype == compute.dtype
    assert entered.is_contiguous(memory_format=torch.channels_last)
    network(image, ["relu2_1"])["relu2_1"].float().sum().backward()
    assert image.grad is not None
    assert image.grad.dtype == torch.float32
    assert image.grad.abs().sum() > 0


def test_in_half_precision_a_network_sees_finer_steps_than_its_type_has() -> None:
    """Near white a bfloat16's are as wide as a grey level; here it is a five-hundredth."""
    network = Compute.choose("cpu", "bf16").place(load_network("lite"))
    image = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    entered = network.enter(image).float()
    assert entered.shape[1] == 6
    missed = entered[:, :3] + entered[:, 3:] - (image - torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
    assert missed.abs().max() < 1 / 255 / 500
    exact = load_network("lite")
    for parameter in exact.parameters():
        parameter.copy_(parameter.bfloat16())  # the same weights: all that is left is how the image entered
    bright = 0.75 + image / 4
    wanted = exact.activations(bright, ["relu1_1"])["relu1_1"]

    def missed_by(seen: torch.Tensor) -> float:
        return float((seen - wanted).norm() / wanted.norm())

    rounded = exact.activations(bright.bfloat16().float(), ["relu1_1"])["relu1_1"]
    assert missed_by(network.activations(bright, ["relu1_1"])["relu1_1"].float()) < 0.6 * missed_by(rounded)


def test_an_image_that_enters_in_two_parts_is_seen_as_before_and_has_the_same_gradient() -> None:
    network = FeatureNetwork(vgg19_stages("max", {"1_1": 4, "2_1": 6}))
    image = torch.rand(1, 3, 16, 20).requires_grad_()
    seen = list[torch.Tensor]()
    for _ in range(2):
        features = network(image, ["relu2_1"])["relu2_1"]
        seen += [features, *torch.autograd.grad(features.square().sum(), image)]
        network.split_entrance()
    for before, after in zip(seen[:2], seen[2:], strict=True):
        assert torch.allclose(before, after, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_network_that_is_placed_already_is_not_touched(precision: str) -> None:
    """Snapshots are developed with the network that the painting goes on with in another thread."""

    class NothingIsDone(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> None:
            raise AssertionError(func)

    compute = Compute.choose("cpu", precision)
    network = compute.place(load_network("lite"))
    with NothingIsDone():  # type: ignore[no-untyped-call]
        assert compute.place(network) is network
    assert network.mean.dtype == torch.float32


def test_on_the_cpu_nothing_is_captured_and_nothing_is_waited_for() -> None:
    compute = Compute.choose("cpu", "fp32")
    calls = list[int]()
    iteration = compute.capture(lambda: calls.append(1))
    assert calls == []
    iteration()
    assert calls == [1]
    tensor = torch.rand(2)
    with compute.beside():
        assert compute.hand_over(tensor) is tensor
    assert not compute.captures


@pytest.mark.parametrize("kernels", [True, False])
def test_a_look_is_the_networks_own_whether_packed_or_not(monkeypatch: pytest.MonkeyPatch, kernels: bool) -> None:
    if not kernels:
        monkeypatch.setattr("nst_video.packed.available", lambda dtype: False)
        monkeypatch.delattr("nst_video.packed.PackedNetwork")
    torch.manual_seed(0)
    compute = Compute.choose("cpu", "fp32")
    network = compute.place(FeatureNetwork(vgg19_stages("max", {"1_1": 4, "2_1": 6})).requires_grad_(False))
    image = torch.rand(1, 3, 20, 24, requires_grad=True)
    look = compute.look(network, image, ("relu2_1",), ("relu1_1",))
    features, grams = look.whole(image)
    alone = look.content(image)
    assert torch.allclose(alone["relu2_1"], features["relu2_1"], atol=1e-6)
    assert not alone["relu2_1"].requires_grad
    wanted, wanted_grams = network.look(image, ("relu2_1",), ("relu1_1",))
    assert torch.allclose(features["relu2_1"], wanted["relu2_1"], atol=1e-6)
    assert torch.allclose(grams["relu1_1"], wanted_grams["relu1_1"], atol=1e-6)
    (gradient,) = torch.autograd.grad(features["relu2_1"].sum() + grams["relu1_1"].sum(), image)
    assert gradient.abs().sum() > 0


@pytest.mark.skipif(not packed.available(torch.float32), reason="no packed kernels for this processor")
def test_where_there_are_packed_kernels_they_do_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    compute = Compute.choose("cpu", "fp32")
    network = compute.place(FeatureNetwork(vgg19_stages("max", {"1_1": 4})).requires_grad_(False))
    image, looked = torch.rand(1, 3, 20, 24), list[torch.Tensor]()
    look = compute.look(network, image, ("relu1_1",), ())
    monkeypatch.setattr(packed.PackedNetwork, "__call__", lambda self, image, guides: looked.append(image))
    look.whole(image)
    assert len(looked) == 1


@pytest.mark.parametrize(("kind", "held"), [("mps", True), ("cpu", False)])
def test_metal_is_used_by_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch, kind: str, held: bool) -> None:
    """Two of them crash it; elsewhere they run side by side."""
    lock = threading.RLock()
    monkeypatch.setattr("nst_video.device._metal", lock)
    compute = Compute(torch.device(kind), torch.float32, kind)

    def is_free() -> bool:
        """As another thread finds it."""
        found = list[bool]()

        def look() -> None:
            found.append(lock.acquire(blocking=False))
            if found[0]:
                lock.release()

        other = threading.Thread(target=look)
        other.start()
        other.join(20)
        return found[0]

    for part in (compute.painting, compute.beside):
        with part():
            assert is_free() is not held
    assert is_free()


def test_a_painting_has_all_threads_whenever_it_begins() -> None:
    """What asked torch for something first while another thread was beside had one thread from then on."""
    before, found = torch.get_num_threads(), list[int]()
    torch.set_num_threads(3)
    compute = Compute.choose("cpu")

    def paint() -> None:
        with compute.painting():
            found.append(torch.get_num_threads())

    try:
        with compute.beside():
            assert torch.get_num_threads() == 1
            painter = threading.Thread(target=paint)
            painter.start()
            painter.join(20)
        found.append(torch.get_num_threads())
    finally:
        torch.set_num_threads(before)
    assert found == [3, 3]


@pytest.mark.parametrize(("kind", "cores", "turns"), [("cpu", 2, True), ("cpu", 3, False), ("mps", 2, False)])
def test_two_cores_see_and_paint_in_turns_with_all_threads(kind: str, cores: int, turns: bool) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    compute = Compute(torch.device(kind), torch.float32, kind, cores=cores)
    try:
        with compute.before_painting():
            assert torch.get_num_threads() == (3 if turns else 1)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert compute.takes_turns is turns


def test_a_painting_that_leaves_a_core_takes_no_turns() -> None:
    assert not Compute(torch.device("cpu"), torch.float32, "cpu", threads=1, cores=2).takes_turns
    assert Compute(torch.device("cpu"), torch.float32, "cpu", threads=1, cores=1).takes_turns


@pytest.mark.parametrize(("cores", "threads"), [(2, 1), (8, 3)])
def test_what_is_painted_aside_leaves_the_few_cores_to_the_others(cores: int, threads: int) -> None:
    compute = Compute(torch.device("cpu"), torch.float32, "cpu", threads=3, cores=cores)
    assert compute.aside.threads == threads
    assert not compute.aside.takes_turns


def test_a_process_has_the_cores_that_it_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 7, 9}, raising=False)
    assert Compute.choose("cpu").cores == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert Compute.choose("cpu").cores == 1


# little memory

LAYERS = ("relu1_1", "relu2_1", "relu3_1")


def placed(precision: str = "fp32") -> tuple[Compute, FeatureNetwork]:
    torch.manual_seed(0)
    compute = Compute.choose("cpu", precision)
    widths = {"1_1": 4, "2_1": 6, "3_1": 8}
    return compute, compute.place(FeatureNetwork(vgg19_stages("max", widths)).requires_grad_(False))


def weighted(seen: Looked) -> torch.Tensor:
    dice = torch.Generator().manual_seed(2)
    values = [value for kind in seen for value in kind.values()]
    return torch.stack([(value * torch.rand(value.shape, generator=dice)).sum() for value in values]).sum()


def one_way(network: FeatureNetwork, image: torch.Tensor) -> dict[str, Guide]:
    guides = {}
    for layer in LAYERS[:2]:
        size = [side // network.spacing(layer) for side in image.shape[2:]]
        weights = torch.rand(2, *size, generator=torch.Generator().manual_seed(3))
        guides[layer] = Guide(weights, weights.sum((1, 2)))
    return guides


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("kernels", [True, False])
def test_with_little_memory_the_same_is_seen(monkeypatch: pytest.MonkeyPatch, kernels: bool, guided: bool) -> None:
    if not kernels:
        monkeypatch.setattr("nst_video.packed.available", lambda dtype: False)
    compute, network = placed()
    image = torch.rand(1, 3, 150, 203, generator=torch.Generator().manual_seed(1)).requires_grad_()
    guides = one_way(network, image) if guided else {}
    ample, tight = (
        compute.look(network, image, LAYERS[-1:], LAYERS, guides=guides, memory=memory) for memory in (1e9, 1e5)
    )
    assert isinstance(tight.whole, TiledLook)
    assert len(tight.whole._windows) > 2
    assert not isinstance(ample.whole, TiledLook)
    for ours, theirs in zip(tight.whole(image), ample.whole(image), strict=True):
        assert ours.keys() == theirs.keys()
        assert all(torch.allclose(ours[layer], theirs[layer], rtol=1e-4, atol=1e-5) for layer in theirs)
    gradients = [torch.autograd.grad(weighted(look.whole(image)), image)[0] for look in (tight, ample)]
    assert (gradients[0] - gradients[1]).norm() < 1e-4 * gradients[1].norm()
    content, wanted = tight.content(image), ample.content(image)
    assert content.keys() == wanted.keys() == {LAYERS[-1]}
    assert torch.allclose(content[LAYERS[-1]], wanted[LAYERS[-1]], atol=1e-5)
    assert not content[LAYERS[-1]].requires_grad


def test_with_little_memory_a_style_has_the_same_gram_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    compute, network = placed()
    image, shapes = torch.rand(1, 3, 150, 203, generator=torch.Generator().manual_seed(1)), list[tuple[int, ...]]()
    look = FeatureNetwork.look

    def note(self: FeatureNetwork, image: torch.Tensor, *given: object) -> Looked:
        shapes.append(tuple(image.shape[2:]))
        return look(self, image, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(FeatureNetwork, "look", note)
    ample = compute.grams(network, image, LAYERS)
    assert shapes == [(150, 203)]
    tight = compute.grams(network, image, LAYERS, memory=1e5)
    assert len(shapes) > 3
    assert all(max(shape) < 203 for shape in shapes[1:])
    assert ample.keys() == tight.keys()
    assert all(torch.allclose(tight[layer], ample[layer], rtol=1e-4, atol=1e-6) for layer in LAYERS)
    assert not any(gram.requires_grad for gram in tight.values())


def test_tiles_are_as_large_as_memory_allows_and_halves_take_half() -> None:
    """A tile with its surroundings on all sides takes what it may, and half types fit twice as many pixels in."""
    compute, network = placed()
    kept, reach = network.values(LAYERS) * 1.5, network.reach(LAYERS)
    for memory in (1e6, 1e7, 1e8):
        tile = compute._tile(network, LAYERS, memory)
        assert (tile + 2 * reach) ** 2 * kept * 4 <= memory < (tile + 1 + 2 * reach) ** 2 * kept * 4
        assert placed("bf16")[0]._tile(network, LAYERS, memory / 2) == tile
    assert compute._tile(network, LAYERS, 1) == 64
    assert compute._tile(network, LAYERS, float("inf")) == float("inf")
