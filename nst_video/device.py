"""Where and in which number format to compute. The only room that says "cuda"."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nst_video.errors import SettingsError
from nst_video.networks import FeatureNetwork


@dataclass(frozen=True)
class Compute:
    """A device, the format the network runs in there, and a name for people."""

    device: torch.device
    dtype: torch.dtype
    name: str

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
        """Move `network` here, in this format; channels last, as every convolution library likes it best."""
        return network.to(device=self.device, dtype=self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def lower(self, image: Tensor) -> Tensor:
        """A float32 master image as the network's input; differentiable."""
        return image.to(self.dtype, memory_format=torch.channels_last)


def _best_precision(device: str) -> str:
    if device == "cuda":
        # Not fp16: the gradients of the relative loss are so small that some vanish in it.
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "fp32"
