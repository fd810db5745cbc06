"""Model files: is this a complete SDXL checkpoint, or an SDXL VAE, and which file exactly is it?

:func:`verify` answers from the header, and reads the rest for its digest only
(and, if asked, for NaN and Inf).
"""

from tagflow.models.catalogue import CATALOGUE, ModelFinding
from tagflow.models.verify import Report, verify

__all__ = ["CATALOGUE", "ModelFinding", "Report", "verify"]
