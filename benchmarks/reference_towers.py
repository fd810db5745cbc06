"""The same towers in the libraries that inference programs and the trainer use: what ours must equal.

Each function returns `encode(ids) -> (pooled, penultimate)` on padded ids (windows, 77), float32.
"""

from __future__ import annotations

import torch


def transformers_te1(tensors, maker):
    """transformers' CLIPTextModel; version 5 has no `text_model.` prefix, so names are compared."""
    from transformers import CLIPTextConfig, CLIPTextModel

    state = {k.removeprefix(maker.TE1): v for k, v in tensors.items() if k.startswith(maker.TE1)}
    state.pop("embeddings.position_ids", None)
    model = CLIPTextModel(_config(CLIPTextConfig, state, "quick_gelu"))
    return _transformers(model, state, "pooler_output")


def transformers_te2(tensors):
    """transformers' CLIPTextModelWithProjection from tensors in its own layout (see conftest)."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    inner = {k.removeprefix("text_model."): v for k, v in tensors.items()}
    model = CLIPTextModelWithProjection(_config(CLIPTextConfig, inner, "gelu"))
    return _transformers(model, tensors, "text_embeds")


def _config(kind, state, activation):
    width = state["final_layer_norm.weight"].shape[0]
    layers = sum(key.endswith("layer_norm1.bias") for key in state)
    return kind(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
        num_attention_heads=width // 64, projection_dim=width, hidden_act=activation, eos_token_id=49407,
    )  # fmt: skip


def _transformers(model, state, pooled):
    own = model.state_dict()
    assert set(own) == set(state), "a name does not match: the comparison would be with random weights"
    model.load_state_dict(state, strict=True, assign=True)
    model.eval()

    def encode(ids):
        with torch.inference_mode():
            out = model(ids, output_hidden_states=True)
        return getattr(out, pooled), out.hidden_states[-2]

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


def open_clip_te2(tensors, maker):
    """open_clip's CLIP with a text tower of the checkpoint's sizes and a vision tower as small as can be."""
    from open_clip.model import CLIP

    state = {k.removeprefix(maker.TE2): v for k, v in tensors.items() if k.startswith(maker.TE2)}
    width = state["ln_final.weight"].shape[0]
    layers = sum(key.endswith("ln_1.bias") for key in state)
    text = {"context_length": 77, "vocab_size": 49408, "width": width, "heads": width // 64, "layers": layers}
    model = CLIP(width, {"layers": 1, "width": 64, "patch_size": 32, "image_size": 32}, text)
    missing, unexpected = model.load_state_dict(state, strict=False, assign=True)
    assert not unexpected
    assert all(key.startswith("visual.") for key in missing)
    model.eval()
    states = []
    model.transformer.resblocks[-2].register_forward_hook(lambda _m, _i, out: states.append(out))

    def encode(ids):
        states.clear()
        with torch.inference_mode():
            pooled = model.encode_text(ids)
        return pooled, states[0]

    return encode


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

    with safe_open(path, framework="pt", device="cpu") as file:
        keys = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118 - it is no dict
        tensors = {key: file.get_tensor(key).float() for key in keys}
    if prefix == make_checkpoint.TE1:
        encode = transformers_te1(tensors, make_checkpoint)
    else:
        encode = transformers_te2(transformers_layout(tensors, prefix))

    encode.model.to(device)

    def loop(windows):
        ids = torch.tensor([[*window, *[49407] * (77 - len(window))] for window in windows], device=device)
        return [encode(batch) for batch in ids.split(32)]

    return loop
