"""Model files: SDXL's tensors, what differs from them, what a file predicts, its digest and its values."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from model_files import POSITION_IDS, sdxl, vae, write_raw, write_sparse

from tagflow.errors import EncoderError
from tagflow.files.safetensors import Entry, read_whole_header
from tagflow.findings.catalogue import catalogue
from tagflow.models import verify as module
from tagflow.models.prediction import prediction
from tagflow.models.structure import PARTS, part_of, sdxl_shapes, structure, tensors_of
from tagflow.models.verify import verify

DOCS = Path(__file__).parents[2] / "docs" / "models.md"
UNET, TE1, TE2, VAE = PARTS.values()
TIME = f"{UNET}time_embed.0.weight"


def names_in(found):
    return tuple(tensors_of(found))


def entries(tensors):
    return {
        name: Entry(Path("m.safetensors"), name, dtype, shape, 0, 0)
        for name, (dtype, shape) in tensors.items()
    }


def judged(tensors):
    return structure(entries(tensors))


def without(tensors, *names):
    return {name: value for name, value in tensors.items() if name not in names}


def by_code(findings):
    return {finding.code: finding for finding in findings}


def test_the_projects_own_copy_of_the_keys():
    """Counts and parameters as read off the real model classes; te2's temperature is one number."""
    shapes = sdxl_shapes()
    assert Counter(map(part_of, shapes)) == {"unet": 1680, "te1": 196, "te2": 390, "vae": 248}
    sizes = Counter()
    for name, shape in shapes.items():
        sizes[part_of(name)] += math.prod(shape)
    assert sizes == {"unet": 2_567_463_684, "te1": 123_060_480, "te2": 694_659_841, "vae": 83_653_863}
    assert shapes[f"{TE2}logit_scale"] == () and shapes[f"{UNET}out.2.weight"] == (4, 320, 3, 3)
    listed = "".join(f"{name} {list(shapes[name])}\n" for name in sorted(shapes))
    digest = "9e2179e4047d556053474f833e4baaaf63616a984c4b1058d31a3b1f732370d2"
    assert hashlib.sha256(listed.encode()).hexdigest() == digest


def test_a_complete_checkpoint_has_no_faults():
    found = judged(sdxl())
    assert (found.kind, found.layout) == ("checkpoint", None)
    assert found.parts["te1"] == {"F16": 196, "I64": 1} and found.parts["unet"] == {"F16": 1680}
    assert [(one.code, names_in(one)) for one in found.findings] == [("tensor-extra-known", (POSITION_IDS,))]
    assert judged(without(sdxl(), POSITION_IDS)).findings == ()


def test_missing_tensors_are_told_by_part():
    gone = [name for name in sdxl_shapes() if part_of(name) == "vae"]
    found = judged(without(sdxl(), TIME, *gone)).findings
    missing = {one.figures["part"]: one for one in found if one.code == "tensor-missing"}
    assert names_in(missing["unet"]) == (TIME,) and missing["unet"].detail == "1 of 1,680"
    assert names_in(missing["vae"]) == tuple(gone) and missing["vae"].detail == "all of them"
    assert missing["vae"].severity == "error"


def test_what_no_loader_needs_is_a_note():
    found = by_code(judged(without(sdxl(), f"{TE2}logit_scale")).findings)
    assert "tensor-missing" not in found and found["tensor-optional-missing"].severity == "info"
    named = without(sdxl(), f"{TE2}text_projection")
    named[f"{TE2}text_projection.weight"] = ("F16", (1280, 1280))
    assert set(by_code(judged(named).findings)) == {"tensor-extra-known"}


def test_wrong_shapes():
    found = by_code(judged({**sdxl(), f"{UNET}input_blocks.0.0.weight": ("F16", (320, 9, 3, 3))}).findings)
    shape = found["tensor-shape"]
    assert (shape.figures["part"], shape.severity) == (
        "unet",
        "error",
    ) and "320x9x3x3, not 320x4x3x3" in shape.detail


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (f"{UNET}extra.weight", "tensor-extra"),
        (f"{VAE}encoder.extra", "tensor-extra"),
        ("something.else", "tensor-extra-outside"),
        ("v_pred", "tensor-extra-known"),
        ("ztsnr", "tensor-extra-known"),
        ("denoiser.sigmas", "tensor-extra-known"),
        ("model_ema.diffusion_modelout2weight", "tensor-extra-known"),
        ("sqrt_recipm1_alphas_cumprod", "tensor-extra-known"),
        ("alphas_cumprod", "tensor-extra-known"),
        ("alphas_cumprod_x", "tensor-extra-outside"),
        (f"{VAE}loss.logvar", "tensor-extra-known"),
        (f"{TE2}transformer.text_model.embeddings.position_ids", "tensor-extra-known"),
    ],
)
def test_extra_tensors(name, code):
    found = judged({**without(sdxl(), POSITION_IDS), name: ("F16", ())}).findings
    assert [(one.code, names_in(one)) for one in found] == [(code, (name,))]
    assert found[0].detail or code != "tensor-extra-known"


def test_mixed_types():
    fp32_vae = {name: ("F32" if name.startswith(VAE) else d, s) for name, (d, s) in sdxl().items()}
    found = by_code(judged(fp32_vae).findings)
    assert "dtype-mixed" not in found and found["dtype-parts"].severity == "info"
    assert found["dtype-parts"].detail == "unet F16, te1 F16, te2 F16, vae F32"
    mixed = by_code(judged({**sdxl(), TIME: ("BF16", (1280, 320))}).findings)["dtype-mixed"]
    assert (mixed.figures["part"], mixed.severity, names_in(mixed)) == ("unet", "warning", (TIME,))
    assert mixed.detail == "1,679 F16, 1 BF16"
    packed = by_code(judged({**sdxl(), TIME: ("I8", (1280, 320))}).findings)["tensor-dtype"]
    assert (packed.severity, names_in(packed)) == ("error", (TIME,))


@pytest.mark.parametrize("prefix", ["", VAE])
def test_a_vae_by_itself(prefix):
    found = judged(vae(prefix))
    assert (found.kind, found.layout, found.parts) == ("vae", "original", {"vae": {"F16": 248}})
    assert [one.code for one in found.findings] == ["vae-family-unseen"]
    name = f"{prefix}decoder.conv_in.weight"
    broken = {
        **without(vae(prefix), f"{prefix}quant_conv.bias"),
        name: ("F16", (512, 16, 3, 3)),
        f"{prefix}x": ("F16", ()),
    }
    codes = by_code(judged(broken).findings)
    assert names_in(codes["tensor-missing"]) == (f"{prefix}quant_conv.bias",)
    assert names_in(codes["tensor-shape"]) == (name,) and codes["tensor-shape"].detail.startswith(
        f"{name} is"
    )
    assert names_in(codes["tensor-extra"]) == (f"{prefix}x",)


def test_a_vae_in_diffusers_layout_is_named():
    names = ("encoder.conv_in.weight", "encoder.down_blocks.0.resnets.0.conv1.weight", "quant_conv.weight")
    found = judged(dict.fromkeys(names, ("F32", (1,))))
    assert (found.kind, found.layout) == ("vae", "diffusers")
    assert [(one.code, one.severity) for one in found.findings] == [("vae-diffusers", "error")]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", "LoRA"),
        ("cond_stage_model.transformer.text_model.embeddings.position_ids", "SD 1.5"),
        ("conditioner.embedders.0.model.ln_final.weight", "refiner"),
        ("double_blocks.0.img_attn.qkv.weight", "another model family"),
        ("text_model.embeddings.token_embedding.weight", "one text encoder"),
        ("something.weight", "something"),
    ],
)
def test_other_models(name, word):
    found = judged({name: ("F16", (1,)), TIME if "cond" in name else "x": ("F16", (1,))})
    assert found.kind == "other" and [one.code for one in found.findings] == ["model-other"]
    assert word in found.findings[0].detail


def test_a_unet_alone_is_half_a_checkpoint():
    found = judged({n: v for n, v in sdxl().items() if n.startswith(UNET)})
    missing = [one for one in found.findings if one.code == "tensor-missing"]
    assert found.kind == "checkpoint" and [one.figures["part"] for one in missing] == ["te1", "te2", "vae"]
    assert {one.detail for one in missing} == {"all of them"}


@pytest.mark.parametrize(
    ("keys", "metadata", "verdict"),
    [
        ((), {}, "unknown"),
        (("v_pred",), {}, "v"),
        (("ztsnr",), {}, "v"),
        (("v_pred", "ztsnr"), {"modelspec.prediction_type": "v"}, "v"),
        ((), {"modelspec.prediction_type": "v"}, "v"),
        ((), {"modelspec.prediction_type": "V-Prediction"}, "v"),
        ((), {"modelspec.predict_key": "epsilon"}, "epsilon"),
        ((), {"modelspec.prediction_type": "epsilon"}, "epsilon"),
        ((), {"modelspec.prediction_type": "None"}, "unknown"),
        ((), {"ss_v_parameterization": "True"}, "v"),
        ((), {"ss_v_parameterization": "False"}, "epsilon"),
        ((), {"ss_zero_terminal_snr": "True"}, "v"),
        ((), {"ss_zero_terminal_snr": "False"}, "unknown"),
    ],
)
def test_the_prediction_type(keys, metadata, verdict):
    found = prediction(keys, metadata)
    assert (found.type, found.contradicted) == (verdict, False)
    assert len(found.evidence) == len(keys) + len(metadata) or verdict == "unknown"


def test_a_contradiction_is_v_and_a_warning(tmp_path):
    tensors = {TIME: ("F16", (1,)), "v_pred": ("F16", ())}
    path = write_sparse(tmp_path / "m.safetensors", tensors, {"modelspec.prediction_type": "epsilon"})
    report = verify(path)
    assert report.prediction.type == "v" and len(report.prediction.evidence) == 2
    assert by_code(report.findings)["prediction-contradicted"].severity == "warning"


def test_the_digest_is_the_files_and_progress_reaches_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 64)
    data = bytes(range(200)) * 2
    path = write_raw(
        tmp_path / "m.safetensors",
        {
            "model.diffusion_model.b": {"dtype": "F16", "shape": [100], "data_offsets": [0, 200]},
            "model.diffusion_model.a": {"dtype": "U8", "shape": [200], "data_offsets": [200, 400]},
        },
        data,
    )
    told = []
    for deep in (False, True):
        report = verify(path, deep=deep, progress=lambda done, total: told.append((done, total)))
        assert report.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert told[-1] == (report.size, report.size)
        assert max(done - before for (before, _), (done, _) in pairwise(told)) <= 64


PATTERNS = [
    ("F16", "<u2", [0x7C00, 0xFC00], [0x7C01, 0xFFFF], [0x7BFF, 0xFBFF, 0x8000, 0x0001]),
    ("BF16", "<u2", [0x7F80, 0xFF80], [0x7F81, 0xFFC0], [0x7F7F, 0xFF7F, 0x7C00]),
    ("F32", "<u4", [0x7F800000, 0xFF800000], [0x7FC00000, 0xFFFFFFFF], [0x7F7FFFFF]),
    ("F64", "<u8", [0x7FF << 52, 0xFFF << 52], [(0x7FF << 52) + 1], [(0x7FF << 52) - 1]),
    ("F8_E5M2", "u1", [0x7C, 0xFC], [0x7D, 0xFF], [0x7B, 0xFB]),
    ("F8_E4M3", "u1", [], [0x7F, 0xFF], [0x7E, 0xFE, 0x78]),
]


@pytest.mark.parametrize(("dtype", "view", "inf", "nan", "finite"), PATTERNS)
def test_values_that_are_not_finite(tmp_path, monkeypatch, dtype, view, inf, nan, finite):
    monkeypatch.setattr(module, "BLOCK", 16)
    good, bad = f"{UNET}good", f"{UNET}bad"
    clean = np.array(finite * 9, dtype=view)
    sick = np.array([*finite * 9, *inf, *finite, *nan], dtype=view)
    header, at = {}, 0
    for name, array in ((good, clean), (bad, sick)):
        header[name] = {"dtype": dtype, "shape": [len(array)], "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    path = write_raw(tmp_path / "m.safetensors", header, clean.tobytes() + sick.tobytes())
    found = [one for one in verify(path, deep=True).findings if one.code == "tensor-not-finite"]
    assert [(one.figures["part"], one.severity, names_in(one)) for one in found] == [
        ("unet", "error", (bad,))
    ]
    assert found[0].detail == f"{bad} has {len(nan)} NaN and {len(inf)} Inf"
    assert all(one.code != "tensor-not-finite" for one in verify(path).findings)


def test_zeros_and_types_that_cannot_be_looked_at(tmp_path):
    tensors = {
        f"{UNET}matrix": ("F16", (2, 2)), f"{UNET}bias": ("F16", (4,)), f"{UNET}ids": ("I64", (2, 2)),
        f"{UNET}odd": ("F8_E4M3FNUZ", (2, 2)), f"{UNET}none": ("F16", (0, 2)),
    }  # fmt: skip
    found = by_code(verify(write_sparse(tmp_path / "m.safetensors", tensors), deep=True).findings)
    assert names_in(found["tensor-zero"]) == (f"{UNET}matrix",)
    assert names_in(found["tensor-not-checked"]) == (f"{UNET}odd",)


def test_a_file_that_changes_while_it_is_read(tmp_path):
    path = write_sparse(tmp_path / "m.safetensors", {TIME: ("F16", (64,))})
    header = read_whole_header(path)
    for content in (path.read_bytes()[:-1], path.read_bytes() + b"x"):
        path.write_bytes(content)
        with pytest.raises(EncoderError, match="changed its length"):
            module.scan(path, header, deep=True, progress=lambda done, total: None)


def test_long_metadata_are_cut_and_foreign_ones_left_out(tmp_path):
    told = {"ss_tag_frequency": "x" * 5000, "modelspec.title": "t", "format": "pt"}
    report = verify(write_sparse(tmp_path / "m.safetensors", {TIME: ("F16", (1,))}, told))
    assert list(report.metadata) == ["modelspec.title", "ss_tag_frequency"]
    assert report.metadata["ss_tag_frequency"].endswith("... (5,000 characters)")


def test_the_page_leads_to_every_code():
    assert "findings.md#model-files" in DOCS.read_text(encoding="utf-8")
    page = DOCS.with_name("findings.md").read_text(encoding="utf-8")
    assert "## Model files" in page
    for code, kind in catalogue("models").items():
        assert f"| [`{code}`](#{code}) | {kind.severity} |" in page
