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
    """Return a single file's te2 as diffusers stores it: q, k, v apart, the projection transposed."""
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


def padded_loop(path, prefix):
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

    def loop(windows):
        ids = torch.tensor([[*window, *[49407] * (77 - len(window))] for window in windows])
        return [encode(batch) for batch in ids.split(32)]

    return loop
