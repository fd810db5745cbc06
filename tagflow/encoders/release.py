"""Give back the memory that encoding took, for a trainer that is to come: torch keeps a GPU's for itself."""

from __future__ import annotations

import gc
import sys


def release() -> None:
    """Free what no encoder uses any more. Call it when the last reference to a pair is gone.

    torch's context on the GPU (some 300 to 500 MB) stays until the process ends.
    """
    gc.collect()
    if "torch" in sys.modules:
        import torch

        torch.cuda.empty_cache()  # nothing where no GPU was used
