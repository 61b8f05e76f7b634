"""Webcam and video stylisation by true Gatys optimisation."""

__version__ = "0.9.0"

import os as _os
import sys as _sys

if _sys.platform == "linux":
    # Before torch loads OpenMP. An iteration is hundreds of short parallel loops. With more than one thread computing,
    # OpenMP's workers fall asleep after each of them, and waking them takes half as long again as the work. So they
    # stay awake, but only for a fraction of a millisecond, so that other threads get their turn.
    _os.environ.setdefault("OMP_WAIT_POLICY", "ACTIVE")
    _os.environ.setdefault("GOMP_SPINCOUNT", "50000")
    _os.environ.setdefault("KMP_BLOCKTIME", "1")  # the same, in milliseconds, to Intel's and LLVM's OpenMP
