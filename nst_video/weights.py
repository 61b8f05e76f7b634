"""Which networks there are, where their weights lie, and how missing ones are fetched and checked."""

from __future__ import annotations

import contextlib
import os
import socket
import urllib.error
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nst_video.errors import SettingsError, WeightsError
from nst_video.image import resize, to_image
from nst_video.networks import (
    CAFFE_MEAN,
    IMAGENET_MEAN,
    IMAGENET_STD,
    LITE_TAPS,
    VGG19_WIDTHS,
    FeatureNetwork,
    Pooling,
    lite_stages,
    vgg19_stages,
)
from nst_video.pictures import read_picture
from nst_video.resources import shipped

DOWNLOAD_TIMEOUT_S = 30.0  # without a byte, not in all


@dataclass(frozen=True, kw_only=True)
class NetworkInfo:
    """What `networks` lists. `url` is called only when a download is due."""

    name: str
    description: str
    path: Callable[[], Path]
    url: Callable[[], str] | None = None
    sha256_prefix: str = ""


def _cache(name: str) -> Callable[[], Path]:
    return lambda: Path(torch.hub.get_dir()) / "checkpoints" / f"{name}-convolutions.safetensors"


def _torchvision_url() -> str:
    # Imported here: only the address is needed, and only once. A torchvision of another build fails in many ways.
    from torchvision.models import VGG19_Weights

    return str(VGG19_Weights.IMAGENET1K_V1.url)


NETWORKS: dict[str, NetworkInfo] = {
    info.name: info
    for info in (
        NetworkInfo(
            name="lite",
            description="our own, distilled from VGG-19, a 17th of its multiply-adds; ships with the program",
            path=lambda: shipped("models", "lite.safetensors"),
        ),
        NetworkInfo(
            name="vgg19",
            description="VGG-19 as torchvision trained it (IMAGENET1K_V1), a 548 MB download once",
            path=_cache("vgg19-dcbb9e9d"),
            url=_torchvision_url,
            sha256_prefix="dcbb9e9d",
        ),
        NetworkInfo(
            name="vgg19-caffe",
            description="VGG-19 as its authors trained it, the paper's own, a 548 MB download once",
            path=_cache("vgg19-d01eb7cb"),
            url=lambda: "https://web.eecs.umich.edu/~justincj/models/vgg19-d01eb7cb.pth",
            sha256_prefix="d01eb7cb",
        ),
    )
}


def load_network(
    name: str, *, weights: Path | None = None, pooling: Pooling = "max", progress: bool = True
) -> FeatureNetwork:
    """The network `name`, frozen, in float32 on the CPU, normalised; `weights` instead of its own file.

    Downloads on first use where the network is not shipped, with a bar if `progress`.

    Raises:
        WeightsError: the file is missing, damaged or holds another network; or the download failed.
        SettingsError: the network has no such pooling.
    """
    info = NETWORKS[name]
    if weights is None:
        weights = info.path()
        if info.url is not None and not weights.is_file():
            _download(info, weights, progress=progress)
    state = read_state(weights)
    if name == "lite":
        if pooling != "max":
            raise SettingsError(f"--pooling {pooling} is for the other networks: lite halves by convolutions")
        network = _lite(state, weights)  # ships normalised
    else:
        network = vgg19(state, weights, caffe=name == "vgg19-caffe", pooling=pooling)
        network.normalize(_calibration())
    return network.requires_grad_(False).eval()


def _calibration() -> Tensor:
    """A photograph, (1, 3, 256, 256), on which mean activations are measured."""
    return resize(to_image(read_picture(shipped("samples", "portrait.jpg"))), (256, 256))


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict file, .safetensors or .pth, in float32.

    Raises:
        WeightsError: there is no such file or it holds no state dict.
    """
    if not path.is_file():
        raise WeightsError(f"no weight file {path}; `networks` lists what there is and how to get the rest")
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception:  # a damaged file makes an unpickler fail in any way there is
        raise WeightsError(f"{path} is no weight file that can be read (.safetensors or .pth)") from None
    if not isinstance(state, Mapping) or not all(isinstance(t, Tensor) for t in state.values()):
        raise WeightsError(f"{path} holds no state dict (names to tensors)")
    return {name: tensor.float() for name, tensor in state.items()}


def vgg19(state: Mapping[str, Tensor], origin: Path, *, caffe: bool, pooling: Pooling = "max") -> FeatureNetwork:
    """VGG-19 from a state dict with torchvision's names, `caffe` telling which input the weights expect.

    The input convention of either becomes RGB in [0, 1]: its scale and channel order go into the first
    layer's weights. The mean stays a subtraction, for zero padding has to mean "mean colour".
    """
    network = FeatureNetwork(vgg19_stages(pooling, VGG19_WIDTHS), mean=CAFFE_MEAN if caffe else IMAGENET_MEAN)
    renamed, index = {}, 0
    for number in VGG19_WIDTHS:
        if number.endswith("_1") and number != "1_1":
            index += 1  # torchvision counts the pooling
        for part in ("weight", "bias"):
            renamed[f"stages.{number}.{part}"] = state.get(f"features.{index}.{part}", torch.empty(0))
        index += 2  # and the ReLU
    first = renamed["stages.1_1.weight"]
    if first.shape == (64, 3, 3, 3):
        std = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
        renamed["stages.1_1.weight"] = first.flip(1) * 255 if caffe else first / std
    _fill(network, renamed, origin, "VGG-19 with torchvision's layer names (features.0.weight …)")
    return network


def _lite(state: Mapping[str, Tensor], origin: Path) -> FeatureNetwork:
    network = FeatureNetwork(lite_stages(), taps=LITE_TAPS, measured=True)
    _fill(network, state, origin, "`lite`")
    return network


def _fill(network: FeatureNetwork, state: Mapping[str, Tensor], origin: Path, what: str) -> None:
    for name, own in network.state_dict().items():
        found = state.get(name)
        if found is None or found.shape != own.shape:
            shape = "nothing" if found is None or not found.numel() else f"the shape {tuple(found.shape)}"
            raise WeightsError(f"{origin} is not {what}: for {name} it has {shape}, not {tuple(own.shape)}")
    network.load_state_dict({name: state[name] for name in network.state_dict()})


def _download(info: NetworkInfo, target: Path, *, progress: bool) -> None:
    """Fetch a full VGG-19, keep its convolutions only (80 of 548 MB) at `target`."""
    assert info.url is not None
    whole, partial = target.with_suffix(".download"), target.with_suffix(".partial")
    before = socket.getdefaulttimeout()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        url = info.url()
        socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)  # download_url_to_file itself would wait forever
        torch.hub.download_url_to_file(url, str(whole), hash_prefix=info.sha256_prefix, progress=progress)
        state = {k: t.contiguous() for k, t in read_state(whole).items() if k.startswith("features.")}
        save_file(state, partial)
        os.replace(partial, target)
    except (urllib.error.URLError, OSError, RuntimeError, WeightsError) as error:
        raise WeightsError(
            f"could not download {info.name} ({_first_line(error)}); "
            f"give a file you have with --weights FILE (--refine-weights FILE), or use --network lite"
        ) from None
    finally:
        socket.setdefaulttimeout(before)
        for leftover in (whole, partial):
            with contextlib.suppress(OSError):  # which the error above has told already
                leftover.unlink()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
