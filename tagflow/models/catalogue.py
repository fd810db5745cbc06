"""The findings in model files: code, severity, what it means and what cures it.

As those in captions (:mod:`tagflow.findings`): a code is stable, and no code stands in both catalogues.
"""

from __future__ import annotations

from dataclasses import dataclass

from tagflow.findings.finding import Kind, Severity

_AGAIN = "download the file again, or ask for the complete one"
_KINDS = (
    Kind(
        "model-other",
        "error",
        "the file is of another model than SDXL",
        "give a single-file SDXL checkpoint or an SDXL VAE",
    ),
    Kind(
        "vae-diffusers",
        "error",
        "a VAE in diffusers' layout; the trainer's --vae reads a single file in the original layout only",
        "use the original sdxl_vae.safetensors, or give the trainer the diffusers folder",
    ),
    Kind("vae-family-unseen", "info", "SD 1.5's VAE has the same names and shapes: this may be either", ""),
    Kind("tensor-missing", "error", "tensors that SDXL has are not in the file", _AGAIN),
    Kind(
        "tensor-shape", "error", "tensors have another shape than SDXL's", "use a checkpoint of SDXL itself"
    ),
    Kind(
        "tensor-extra",
        "error",
        "tensors that SDXL does not have, among its own; the trainer refuses them",
        "use a checkpoint of SDXL itself",
    ),
    Kind("tensor-extra-outside", "warning", "tensors beside the model; loaders skip them", ""),
    Kind("tensor-extra-known", "info", "tensors that many files carry and that do no harm", ""),
    Kind("tensor-optional-missing", "info", "a tensor is missing that no loader needs", ""),
    Kind(
        "tensor-dtype",
        "error",
        "weights that are stored as whole numbers or in a type without a plain meaning",
        "use the model's fp16, bf16 or fp32 file",
    ),
    Kind(
        "dtype-mixed",
        "warning",
        "one part holds weights of several types",
        "use the file as its maker published it, if this one was converted",
    ),
    Kind("dtype-parts", "info", "the parts are of different types, which is common", ""),
    Kind(
        "prediction-contradicted",
        "warning",
        "one thing in the file says v-prediction, another says epsilon; v is taken",
        "ask the model's page, for training with the wrong one ruins a LoRA",
    ),
    Kind("tensor-not-finite", "error", "weights are NaN or Inf", _AGAIN),
    Kind(
        "tensor-zero",
        "warning",
        "matrices are zero throughout, as in a file that was never wholly downloaded",
        "compare the sha256 with the model page's",
    ),
    Kind("tensor-not-checked", "warning", "NaN and Inf cannot be looked for in these types", ""),
)

CATALOGUE: dict[str, Kind] = {kind.code: kind for kind in _KINDS}


@dataclass(frozen=True, slots=True)
class ModelFinding:
    """One finding in a model file: its kind's code, the part (`unet`, `te1`, `te2`, `vae`; None: the file).

    `detail` is what exactly was seen; `tensors` names every tensor that it is about, as the file names it.
    """

    code: str
    part: str | None = None
    detail: str = ""
    tensors: tuple[str, ...] = ()

    @property
    def severity(self) -> Severity:
        """The severity of this finding's kind."""
        return CATALOGUE[self.code].severity
