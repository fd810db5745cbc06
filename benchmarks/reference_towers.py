"""te2 in transformers, as diffusers programs compute it, and the rows of ids that sd-scripts feeds encoders.

te1 in transformers and te2 in open_clip are built by `tagflow/encoders/references.py`.
"""

from __future__ import annotations

import torch


def transformers_te2(tensors):
    """Return `encode(ids) -> (pooled, penultimate)` on padded ids (windows, 77), float32.

    tensors: those of transformers' CLIPTextModelWithProjection in its own layout.
    """
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    width = tensors["text_model.final_layer_norm.weight"].shape[0]
    layers = sum(key.endswith("layer_norm1.bias") for key in tensors)
    config = CLIPTextConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
        num_attention_heads=width // 64, projection_dim=width, hidden_act="gelu", eos_token_id=49407,
    )  # fmt: skip
    model = CLIPTextModelWithProjection(config)
    model.load_state_dict(tensors, strict=True, assign=True)  # a name that did not match would be an error
    model.eval()

    def encode(ids):
        with torch.inference_mode():
            out = model(ids, output_hidden_states=True)
        return out.text_embeds, out.hidden_states[-2]

    encode.model = model  # so that a test can let the library write it to a folder
    return encode


PARTS = {
    "attn.out_proj": "self_attn.out_proj", "ln_1": "layer_norm1", "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
}  # fmt: skip
OUTSIDE = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight", "ln_final.bias": "final_layer_norm.bias",
}  # fmt: skip


def transformers_layout(tensors, prefix):
    """Return a single file's te2 as diffusers stores it: q, k, v apart, the projection transposed.

    transformers has no conversion of its own for this layout. On the small checkpoint the result equals that
    of diffusers 0.35.2, `convert_open_clip_checkpoint`, name by name and bit by bit.
    """
    found = {}
    for key, value in tensors.items():
        name = key.removeprefix(prefix)
        if name == "text_projection":
            found["text_projection.weight"] = value.T.contiguous()
        elif name in OUTSIDE:
            found["text_model." + OUTSIDE[name]] = value
        elif key.startswith(prefix) and name != "logit_scale":
            _, _, number, rest = name.split(".", 3)
            found.update(_layer(f"text_model.encoder.layers.{number}.", rest, value))
    return found


def _layer(layer, rest, value):
    if rest.startswith("attn.in_proj_"):
        kind = rest.removeprefix("attn.in_proj_")
        chunks = zip("qkv", value.chunk(3), strict=True)
        return {f"{layer}self_attn.{part}_proj.{kind}": chunk.contiguous() for part, chunk in chunks}
    stem, _, kind = rest.rpartition(".")
    return {f"{layer}{PARTS[stem]}.{kind}": value}


def trainer_rows(ids, limit, encoder):
    """Return the ids (limit / 75, 77) that sd-scripts feeds te1 or te2 for a caption's `ids`.

    The tokenizer cuts and pads to limit + 2; above 75, 75 ids at a time stand between the first and the last
    of these, and te2's rows are mended. Source: sd-scripts `library/strategy_base.py`, `_get_input_ids`.
    """
    bos, eos, pad = 49406, 49407, {"te1": 49407, "te2": 0}[encoder]
    whole = torch.full((limit + 2,), pad)
    filled = torch.tensor([bos, *ids[:limit], eos])
    whole[: len(filled)] = filled
    if limit == 75:
        return whole[None]
    middle = whole[1:-1].reshape(-1, 75)
    first, last = whole[:1].expand(len(middle), 1), whole[-1:].expand(len(middle), 1)
    rows = torch.cat([first, middle, last], dim=1)
    if encoder == "te2":
        rows[(rows[:, 75] != eos) & (rows[:, 75] != pad), 76] = eos
        rows[rows[:, 1] == pad, 1] = eos
    return rows


def trainer_states(rows):
    """Return (75 n + 2, width) of (n, 77, width), as sd-scripts joins what the encoder makes of n rows.

    The first row's BOS, each row's 75 in the middle, the last row's last. Source: sd-scripts
    `library/strategy_sdxl.py`, `_get_hidden_states_sdxl`.
    """
    return torch.cat([rows[0, :1], rows[:, 1:76].flatten(0, 1), rows[-1, 76:]])


def padded_loop(path, prefix, device="cpu"):
    """Return the usual loop over te1 or te2: fp32 transformers, padded to 77, batches of 32."""
    import make_checkpoint
    from safetensors import safe_open

    from tagflow.encoders.locate import locate
    from tagflow.encoders.references import transformers_te1

    if prefix == make_checkpoint.TE1:
        encode = transformers_te1(locate(str(path)).te1, torch.float32, torch.device(device)).encode
    else:
        with safe_open(path, framework="pt", device="cpu") as file:
            keys = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118 - it is no dict
            tensors = {key: file.get_tensor(key).float() for key in keys}
        encode = transformers_te2(transformers_layout(tensors, prefix))
        encode.model.to(device)

    @torch.inference_mode()
    def loop(windows):
        ids = torch.tensor([[*window, *[49407] * (77 - len(window))] for window in windows], device=device)
        return [encode(batch) for batch in ids.split(32)]

    return loop
