"""Where and in which number format to compute. The only room that says "cuda"."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from nst_video import packed
from nst_video.errors import SettingsError
from nst_video.losses import Guide
from nst_video.networks import NOWHERE, FeatureNetwork, Looked
from nst_video.tiles import LookAt, TiledLook

T = TypeVar("T")

OVERHEAD = 1.5
"""So many times what is kept for the way back, a look takes at its most."""
SMALLEST_TILE = 64
FEW_CORES = 2
"""With so many, as the system counts them, what runs beside a painting that has all of them only holds up its threads,
which wait for each other."""

_own = threading.local()
_metal = threading.RLock()


class Look(NamedTuple):
    """At float32 images of one shape: at all layers, differentiable; and at the content layers alone, which is not."""

    whole: Callable[[Tensor], Looked]
    content: Callable[[Tensor], dict[str, Tensor]]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Compute:
    """A device, the format the network runs in there, a name for people, the threads that a CPU paints with, and the
    cores that it has."""

    device: torch.device
    dtype: torch.dtype
    name: str
    threads: int = field(default_factory=torch.get_num_threads)
    cores: int = field(default_factory=_cores)

    @classmethod
    def choose(cls, device: str = "auto", precision: str = "auto", threads: int = 0) -> Compute:
        """Turn what the user asked for into what the machine has.

        Raises:
            SettingsError: the machine lacks that device, or the device that format.
        """
        if threads:
            torch.set_num_threads(threads)
        available = ["cpu"]
        if torch.backends.mps.is_available():
            available.append("mps")
        if torch.cuda.is_available():
            available.append("cuda")
        chosen = available[-1] if device == "auto" else device
        if chosen not in available:
            raise SettingsError(f"--device {chosen} is not on this machine; there is {' and '.join(available)}")
        if precision == "fp16" and chosen == "cpu":
            raise SettingsError("--precision fp16 needs a GPU; on the CPU take fp32 or bf16")
        if precision == "auto":
            precision = _best_precision(chosen)
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        hardware = torch.cuda.get_device_name() if chosen == "cuda" else chosen.upper()
        return cls(torch.device(chosen), dtype, f"{hardware}, {precision}")

    def place(self, network: FeatureNetwork) -> FeatureNetwork:
        """Move `network` here, in this format; channels last, as every convolution library likes it best.

        One that is here already is not touched: another thread may be looking through it.
        """
        weight = next(network.parameters())
        there = (weight.device.type, weight.dtype) == (self.device.type, self.dtype)
        if there and weight.is_contiguous(memory_format=torch.channels_last):
            return network
        mean = network.mean
        if self.dtype != torch.float32:
            network.split_entrance()
        network.to(device=self.device, dtype=self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.mean = mean.to(self.device)  # in float32, as images are
        return network

    def look(
        self,
        network: FeatureNetwork,
        image: Tensor,
        content_layers: Sequence[str],
        style_layers: Sequence[str],
        *,
        guides: Mapping[str, Guide] = NOWHERE,
        memory: float = math.inf,
    ) -> Look:
        """`network.look` at float32 images of the shape of `image`, in the way that is fastest here and takes no more
        than about `memory` bytes."""
        tile = self._tile(network, (*content_layers, *style_layers), memory)
        if max(image.shape[2:]) > tile:

            def tiled(style_layers: Sequence[str]) -> TiledLook:
                def make_look(part: Tensor) -> LookAt:
                    return self._look_at(network, part, content_layers, style_layers)

                return TiledLook(
                    network, image, content_layers, style_layers, tile=int(tile), guides=guides, make_look=make_look
                )

            content = tiled(())
            return Look(tiled(style_layers), torch.no_grad()(lambda image: content(image)[0]))
        quick = self._packed(network, image, content_layers, style_layers)
        if quick is not None:
            return Look(lambda image: quick(image, guides), quick.features)
        return Look(
            lambda image: network.look(image, content_layers, style_layers, guides),
            torch.no_grad()(lambda image: network.look(image, content_layers, ())[0]),
        )

    def grams(
        self, network: FeatureNetwork, image: Tensor, layers: Sequence[str], *, memory: float = math.inf
    ) -> dict[str, Tensor]:
        """Gram matrices of a float32 picture that is looked at once."""
        tile = self._tile(network, layers, memory)

        def look_at(part: Tensor, guides: Mapping[str, Guide]) -> Looked:
            return network.look(part, (), layers, guides)

        with torch.no_grad():
            if max(image.shape[2:]) <= tile:
                return look_at(image, NOWHERE)[1]
            return TiledLook(network, image, (), layers, tile=int(tile), make_look=lambda _: look_at)(image)[1]

    def _packed(
        self, network: FeatureNetwork, image: Tensor, content_layers: Sequence[str], style_layers: Sequence[str]
    ) -> packed.PackedNetwork | None:
        if self.device.type == "cpu" and packed.available(self.dtype):
            return packed.PackedNetwork(network, image, content_layers, style_layers)
        return None

    def _look_at(
        self, network: FeatureNetwork, image: Tensor, content_layers: Sequence[str], style_layers: Sequence[str]
    ) -> LookAt:
        quick = self._packed(network, image, content_layers, style_layers)
        if quick is not None:
            return quick
        return lambda image, guides: network.look(image, content_layers, style_layers, guides)

    def _tile(self, network: FeatureNetwork, layers: Sequence[str], memory: float) -> float:
        """How long the sides of a tile may be, so that what is kept of it and its surroundings fits into `memory`."""
        if math.isinf(memory):
            return math.inf
        side = math.sqrt(memory / (network.values(layers) * self.dtype.itemsize * OVERHEAD))
        return max(SMALLEST_TILE, int(side) - 2 * network.reach(layers))

    @property
    def takes_turns(self) -> bool:
        """Whether a frame is seen and painted sooner in turns than beside the one before."""
        return self.device.type == "cpu" and self.cores <= min(FEW_CORES, self.threads)

    @property
    def aside(self) -> Compute:
        """For what is painted while something else is: with one thread, where they would hold each other up."""
        return replace(self, threads=1) if self.takes_turns else self

    def before_painting(self) -> AbstractContextManager[None]:
        """What is done within is what a painting waits for: `beside` the one before it, or in turns with it."""
        return self.painting() if self.takes_turns else self.beside()

    @contextmanager
    def beside(self) -> Iterator[None]:
        """What is done within runs beside the painting, as far as the device bears it, and is done when it is left."""
        if self.device.type != "cuda":
            with self.painting(), self.one_thread():
                yield
            return
        if not hasattr(_own, "stream"):  # one for each thread: they are few, and one of them may be captured
            _own.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(_own.stream):
            yield
        _own.stream.synchronize()

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """What is done within takes one thread of the CPU. All others are the painting's: every thread of Python's has
        a team of OpenMP's workers of its own, and where there are more than cores none stays awake between its tasks.
        """
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(self.threads)

    @contextmanager
    def painting(self) -> Iterator[None]:
        """What is done within goes on alone where a device does not bear two threads at once: Metal crashes.

        On a CPU it has all of torch's threads: a thread of Python's that asks torch for something for the first time
        while another one is `beside` is given that one's single thread, for good.
        """
        with _metal if self.device.type == "mps" else nullcontext():
            if torch.get_num_threads() != self.threads:  # to set it in every frame costs a third of the speed
                torch.set_num_threads(self.threads)
            yield

    def hand_over(self, tensor: Tensor) -> Tensor:
        """`tensor`, made `beside`, for use in another thread: its memory is not given away while that goes on."""
        if self.device.type == "cuda":
            tensor.record_stream(torch.cuda.default_stream(self.device))
        return tensor

    @property
    def counts_pixels(self) -> bool:
        """Whether a part of a picture takes less time here than all of it: a GPU has many pixels at once."""
        return self.device.type == "cpu"

    @property
    def captures(self) -> bool:
        """Whether `capture` records anything here."""
        return self.device.type == "cuda"

    def capture(self, iteration: Callable[[], T]) -> Callable[[], T]:
        """What does the same as `iteration`, sooner: on CUDA its kernels, recorded once and replayed as one graph.

        It must read and write tensors that keep their place, and is run here a few times with whatever they hold; what
        it answers keeps its place, too. Elsewhere, `iteration` itself.
        """
        if not self.captures:
            return iteration
        aside = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(aside):
            for _ in range(3):  # libraries choose their algorithms and take their workspaces now
                iteration()
        torch.cuda.current_stream(self.device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may go on uploading
            answer = iteration()

        def replay() -> T:
            graph.replay()
            return answer

        return replay


def _best_precision(device: str) -> str:
    if device == "cuda":
        # Not fp16: the gradients of the relative loss are so small that some vanish in it.
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if device == "cpu" and _multiplies_bf16() else "fp32"


def _multiplies_bf16() -> bool:
    """Whether this processor has instructions for it; one that has not emulates it and is slower than in float32."""
    return any(getattr(torch.cpu, f"_is_{unit}_supported", bool)() for unit in ("avx512_bf16", "amx_tile"))
