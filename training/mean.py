"""The mean of networks that were trained one from another, weight by weight, as a network (Wortsman et al., ICML 2022).

    python -m training.mean before.safetensors after.safetensors --out models/lite.safetensors

Two that lie on either side of a valley have its bottom between them, so their mean can be better than both (how much:
models/README.md). Networks trained apart from each other have none: there are hills between their valleys.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from nst_video.errors import NstVideoError, UsageError
from nst_video.weights import load_network
from training.distill import write_weights


def mean_of(paths: list[Path], out: Path) -> None:
    """Write the mean of the networks `paths`, in float16.

    Raises:
        UsageError: a single file has no mean.
        WeightsError: a file is not there, or is no `lite`.
    """
    if len(paths) < 2:
        raise UsageError("a mean is of two files or more")
    states = [load_network("lite", weights=path).state_dict() for path in paths]
    write_weights({name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", type=Path, nargs="+", help="files that `training.distill` wrote")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    args = parser.parse_args()
    try:
        mean_of(args.networks, args.out)
    except NstVideoError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
