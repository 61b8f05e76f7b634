"""Weight files: conversion of both VGG-19 conventions, what is refused, and the download against a local server."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from media import DATA
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from nst_video import weights
from nst_video.errors import SettingsError, WeightsError
from nst_video.networks import VGG19_WIDTHS, Pool
from nst_video.weights import NETWORKS, NetworkInfo, load_network, read_state, vgg19

# torchvision's indices: each convolution is followed by a ReLU, each block by a pooling
INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
POOL_BEFORE = (5, 10, 19, 28)
UNPICKLABLE = (b"\x85\xf3", b"h\xd6Q", b"\x80\x02X}KX", b"\x80\x02cos\nsystem\n.")
"""IndexError, KeyError, struct.error and a forbidden name, if nobody catches them."""

SMALL = {number: 64 if number == "1_1" else 5 for number in VGG19_WIDTHS}


@pytest.fixture
def _small_vgg19(monkeypatch: pytest.MonkeyPatch) -> None:
    """A VGG-19 of few channels, with which the same code runs in no time."""
    monkeypatch.setattr(weights, "VGG19_WIDTHS", SMALL)


def random_state(widths: dict[str, int] = SMALL) -> dict[str, Tensor]:
    dice = torch.Generator().manual_seed(0)
    state, channels = dict[str, Tensor](), 3
    for index, width in zip(INDICES, widths.values(), strict=True):
        scale = (2 / (9 * channels)) ** 0.5
        state[f"features.{index}.weight"] = scale * torch.randn(width, channels, 3, 3, generator=dice)
        state[f"features.{index}.bias"] = 0.1 * torch.randn(width, generator=dice)
        channels = width
    return state


def plain_vgg19(state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """The rectified activations of a VGG-19, written down as plainly as can be."""
    activations = []
    for index in INDICES:
        if index in POOL_BEFORE:
            x = F.max_pool2d(x, 2)
        x = F.conv2d(x, state[f"features.{index}.weight"], state[f"features.{index}.bias"], padding=1).relu()
        activations.append(x)
    return activations


def picture() -> Tensor:
    return torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))


def fed(caffe: bool) -> Tensor:
    """`picture` as the original network expects it."""
    if caffe:  # BGR from 0 to 255 minus the mean
        return picture().flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (picture() - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)


@pytest.mark.usefixtures("_small_vgg19")
@pytest.mark.parametrize("caffe", [True, False])
def test_either_convention_becomes_rgb_from_0_to_1(caffe: bool) -> None:
    state = random_state()
    wanted = plain_vgg19(state, fed(caffe))
    network = vgg19(state, Path("x.pth"), caffe=caffe)
    features = network(picture(), network.layers)
    assert len(features) == 16
    for found, right in zip(features.values(), wanted, strict=True):
        assert torch.allclose(found, right, rtol=1e-3, atol=1e-4 * float(right.abs().max()))


@pytest.mark.usefixtures("_small_vgg19")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(("name", "caffe"), [("vgg19", False), ("vgg19-caffe", True)])
def test_a_loaded_network_is_normalised_frozen_and_otherwise_the_same(
    tmp_path: Path, suffix: str, name: str, caffe: bool
) -> None:
    path, state = tmp_path / f"some{suffix}", random_state()
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file({key: tensor.half() for key, tensor in state.items()}, path)
    network = load_network(name, weights=path, pooling="max")
    assert not any(p.requires_grad for p in network.parameters())
    features = network(picture(), network.layers)
    for found, right in zip(features.values(), plain_vgg19(state, fed(caffe)), strict=True):
        assert found.dtype == torch.float32
        assert torch.allclose(found / found.mean(), right / right.mean(), rtol=0.05, atol=0.02)
    means = network(weights._calibration(), network.layers)
    assert all(f.mean().item() == pytest.approx(1, rel=1e-3) for f in means.values())


@pytest.mark.usefixtures("_small_vgg19")
def test_pooling_is_passed_on(tmp_path: Path) -> None:
    save_file(random_state(), tmp_path / "some.safetensors")
    network = load_network("vgg19", weights=tmp_path / "some.safetensors", pooling="avg")
    assert [pool.pooling for pool in network.stages.values() if isinstance(pool, Pool)] == ["avg"] * 4


def test_lite_has_no_pooling_to_choose() -> None:
    with pytest.raises(SettingsError, match="--pooling"):
        load_network("lite", pooling="avg")


def test_lite_ships_frozen_and_roughly_normalised() -> None:
    network = load_network("lite")
    assert not any(p.requires_grad for p in network.parameters())
    features = network(weights._calibration(), network.layers)
    assert all(f.isfinite().all() and 0.01 < f.abs().mean().item() < 100 for f in features.values())


def test_the_reference_vgg19_loads() -> None:
    path = DATA / "vgg19_conv_fp16.safetensors"
    if not path.is_file():
        pytest.skip(f"no VGG-19 at {path}")
    network = load_network("vgg19-caffe", weights=path)
    assert network.layers[-1] == "relu5_4"
    features = network(weights._calibration(), ["relu1_1", "relu4_2", "relu5_1"])
    assert [tuple(f.shape[1:]) for f in features.values()] == [(64, 256, 256), (512, 32, 32), (512, 16, 16)]
    assert all(f.mean().item() == pytest.approx(1, rel=1e-2) for f in features.values())


# what is refused


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.pth"):
        load_network("vgg19", weights=tmp_path / "gone.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x02}q\x00.", b"0", b"PK\x03\x04 torn", *UNPICKLABLE])
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"torn{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="torn"):
        load_network("lite", weights=path)


@given(content=st.binary(max_size=60), suffix=st.sampled_from([".pth", ".safetensors"]))
def test_no_file_whatsoever_gets_past_the_reader(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    """Whatever is in the file, nothing but a `WeightsError` comes out; an empty state dict is stopped behind it."""
    path = tmp_path_factory.mktemp("fuzz") / f"some{suffix}"
    path.write_bytes(content)
    told = ""
    try:
        assert read_state(path) == {}
    except WeightsError as error:
        told = str(error)
    assert not told or path.name in told


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    for suffix in (".pth", ".safetensors"):
        path = tmp_path / f"half{suffix}"
        if suffix == ".pth":
            torch.save(random_state(), path)
        else:
            save_file(random_state(), path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(WeightsError, match="half"):
            read_state(path)


def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    for content in ([1, 2], {"epoch": 3}, torch.zeros(2)):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(WeightsError, match=r"other\.pth holds no state dict"):
            read_state(tmp_path / "other.pth")


@pytest.mark.parametrize("name", ["lite", "vgg19", "vgg19-caffe"])
@pytest.mark.usefixtures("_small_vgg19")
def test_weights_of_another_network_or_shape_are_refused(tmp_path: Path, name: str) -> None:
    path, state = tmp_path / "other.safetensors", random_state()
    state["features.5.weight"] = torch.zeros(5, 64, 1, 1)
    save_file(state, path)
    with pytest.raises(WeightsError, match=r"other\.safetensors is not .*it has"):
        load_network(name, weights=path)
    del state["features.5.weight"]
    save_file(state, path)
    with pytest.raises(WeightsError, match=r"other\.safetensors is not .*it has nothing"):
        load_network(name, weights=path)


class Touch:
    """A pickle of it makes a file when it is read without care."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self._path,)


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    torch.save({"weight": Touch(tmp_path / "ran")}, tmp_path / "code.pth")
    with pytest.raises(WeightsError, match=r"code\.pth"):
        read_state(tmp_path / "code.pth")
    assert not (tmp_path / "ran").exists()


# the download


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which its files are served."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join(timeout=10)


def info(target: Path, url: str, sha256_prefix: str = "") -> NetworkInfo:
    return NetworkInfo(name="some", description="", path=lambda: target, url=lambda: url, sha256_prefix=sha256_prefix)


def publish(folder: Path, state: dict[str, Tensor]) -> str:
    """Serve a full state dict, as torchvision has it; its checksum."""
    torch.save({**state, "classifier.0.weight": torch.zeros(7, 7)}, folder / "full.pth")
    return hashlib.sha256((folder / "full.pth").read_bytes()).hexdigest()


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_download_keeps_the_convolutions_only(tmp_path: Path, server: tuple[Path, str]) -> None:
    folder, url = server
    digest = publish(folder, random_state())
    target = tmp_path / "cache" / "deep" / "some.safetensors"
    weights._download(info(target, f"{url}/full.pth", digest[:8]), target, progress=False)
    kept = load_file(target)
    assert kept.keys() == random_state().keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in random_state().items())
    assert leftovers(tmp_path / "cache") == ["some.safetensors"]


def test_a_wrong_checksum_is_refused_and_leaves_nothing(tmp_path: Path, server: tuple[Path, str]) -> None:
    folder, url = server
    publish(folder, random_state())
    target = tmp_path / "cache" / "some.safetensors"
    with pytest.raises(WeightsError, match="could not download some"):
        weights._download(info(target, f"{url}/full.pth", "00000000"), target, progress=False)
    assert leftovers(tmp_path / "cache") == []


def test_a_dead_link_and_a_dead_server_are_told_and_leave_nothing(tmp_path: Path, server: tuple[Path, str]) -> None:
    _, url = server
    target = tmp_path / "cache" / "some.safetensors"
    with pytest.raises(WeightsError, match=r"could not download some \(.*404.*--network lite"):
        weights._download(info(target, f"{url}/gone.pth"), target, progress=False)
    with pytest.raises(WeightsError, match=r"could not download some .*--weights FILE"):
        weights._download(info(target, "http://127.0.0.1:9/full.pth"), target, progress=False)
    assert leftovers(tmp_path / "cache") == []


def test_a_page_instead_of_weights_is_refused_and_leaves_nothing(tmp_path: Path, server: tuple[Path, str]) -> None:
    folder, url = server
    (folder / "full.pth").write_text("<html>Please log in</html>")
    target = tmp_path / "cache" / "some.safetensors"
    with pytest.raises(WeightsError):
        weights._download(info(target, f"{url}/full.pth"), target, progress=False)
    assert leftovers(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path, server: tuple[Path, str]) -> None:
    _, url = server
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "some.safetensors"
    with pytest.raises(WeightsError, match="could not download some"):
        weights._download(info(target, f"{url}/full.pth"), target, progress=False)


@pytest.mark.usefixtures("_small_vgg19")
def test_the_first_use_downloads_into_torchs_cache_and_the_second_does_not(
    tmp_path: Path, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = server
    digest = publish(folder, random_state())
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "hub"))
    try:
        own = NETWORKS["vgg19-caffe"]
        served = NetworkInfo(
            name=own.name, description="", path=own.path, url=lambda: f"{url}/full.pth", sha256_prefix=digest[:8]
        )
        monkeypatch.setitem(NETWORKS, "vgg19-caffe", served)
        first = load_network("vgg19-caffe")
        assert own.path().is_file()
        assert own.path().parent == tmp_path / "hub" / "checkpoints"
        (folder / "full.pth").unlink()
        second = load_network("vgg19-caffe")
    finally:
        torch.hub.set_dir(before)
    assert torch.equal(first.state_dict()["stages.3_2.weight"], second.state_dict()["stages.3_2.weight"])


def test_the_checksums_are_those_in_the_files_own_names() -> None:
    """Both publishers put the start of the sha256 into the name; torchvision's own table must agree."""
    for name in ("vgg19", "vgg19-caffe"):
        entry = NETWORKS[name]
        assert entry.sha256_prefix in entry.path().name
    caffe = NETWORKS["vgg19-caffe"]
    assert caffe.url is not None
    assert caffe.sha256_prefix in caffe.url()
