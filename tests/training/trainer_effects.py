"""Run by the trainer's own Python: what the real code makes of options of which tagflow says what they do.

Argument: sd-scripts' folder. The last line of stdout is a JSON object: a name, and whether or what is so.
"""

import argparse
import json
import random
import sys
from types import SimpleNamespace

sys.path.insert(0, sys.argv.pop(1))


def main() -> None:
    import torch
    from diffusers import DDPMScheduler
    from library import custom_train_functions as custom
    from library import train_util
    from networks import lora

    class CLIPAttention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.q_proj = torch.nn.Linear(8, 8)

    class Transformer2DModel(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.proj_in = torch.nn.Linear(8, 8)

    def holding(module):
        whole = torch.nn.Module()
        whole.inner = module()
        return whole

    def network(**more):
        text, unet = holding(CLIPAttention), holding(Transformer2DModel)
        return lora.create_network(1.0, 4, 2, None, text, unet, **more), text, unet

    def rates(learning_rate, unet_lr=None, text_encoder_lr=None, *, text=True, unet=True):
        made, *parts = network()
        made.apply_to(*parts, text, unet)
        groups, _ = made.prepare_optimizer_params(text_encoder_lr, unet_lr, learning_rate)
        return [group["lr"] for group in groups]

    said = {
        "own rates for both": rates(1.0, 1e-4, 5e-5) == rates(1e-4, 1e-4, 5e-5),
        "one own rate": rates(1.0, 1e-4) == rates(1e-4, 1e-4),
        "unet alone": rates(1.0, 1e-4, text=False) == rates(1e-4, 1e-4, text=False),
        "text alone": rates(1e-4, 1.0, 5e-5, unet=False) == rates(1e-4, 1e-4, 5e-5, unet=False),
    }

    made, text, unet = network(neuron_dropout=0.5)
    made.apply_to(text, unet, True, True)
    again, _ = lora.create_network_from_weights(
        1.0, None, None, holding(CLIPAttention), holding(Transformer2DModel), weights_sd=made.state_dict()
    )
    found = again.unet_loras[0]
    said["dropout"] = made.unet_loras[0].dropout
    said["from a file"] = [found.lora_dim, float(found.alpha), found.dropout]

    schedule = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000
    )
    custom.prepare_scheduler_for_custom_training(schedule, "cpu")
    every = torch.arange(1000)

    def touched(gamma):
        weighed = custom.apply_snr_weight(torch.ones(1000), every, schedule, gamma)
        return int((weighed < 1 - 1e-6).sum())

    said["min_snr_gamma"] = {gamma: touched(gamma) for gamma in (1, 5, 20)}

    def huber(kind, scale):
        args = argparse.Namespace(loss_type="huber", huber_schedule=kind, huber_c=0.1, huber_scale=scale)
        return train_util.get_huber_threshold_if_needed(args, every[:4], schedule).tolist()

    said["huber_scale"] = {
        kind: huber(kind, 1.0) == huber(kind, 2.0) for kind in ("snr", "constant", "exponential")
    }

    def noisy(**more):
        torch.manual_seed(1)
        options = {
            "noise_offset": None, "noise_offset_random_strength": False, "adaptive_noise_scale": None,
            "multires_noise_iterations": None, "multires_noise_discount": 0.3, "min_timestep": None,
            "max_timestep": None, "ip_noise_gamma": None, "ip_noise_gamma_random_strength": False,
        }  # fmt: skip
        args = argparse.Namespace(**{**options, **more})
        return train_util.get_noise_noisy_latents_and_timesteps(args, schedule, torch.ones(1, 4, 8, 8))[0]

    def same(one, other):
        return torch.equal(noisy(**one), noisy(**other))

    said["adaptive at 0"] = same({"noise_offset": 0.0}, {"noise_offset": 0.0, "adaptive_noise_scale": 0.5})
    said["adaptive at 0.1"] = same({"noise_offset": 0.1}, {"noise_offset": 0.1, "adaptive_noise_scale": 0.5})

    def caption(line, **more):
        random.seed(3)
        options = {
            "caption_prefix": None, "caption_suffix": None, "caption_dropout_rate": 0,
            "caption_dropout_every_n_epochs": 0, "enable_wildcard": False, "shuffle_caption": True,
            "token_warmup_step": 0, "caption_tag_dropout_rate": 0, "keep_tokens_separator": "",
            "keep_tokens": 0, "caption_separator": ",", "secondary_separator": None, "token_warmup_min": 1,
        }  # fmt: skip
        around = SimpleNamespace(current_epoch=1, current_step=0, max_train_steps=9, replacements={})
        return train_util.BaseDataset.process_caption(around, SimpleNamespace(**{**options, **more}), line)

    said["separator comma"] = caption("a, b, c, d, e, f", keep_tokens_separator=",")
    said["separator mark"] = sorted(caption("a ||| b, c, d, e", keep_tokens_separator="|||").split(", "))[0]
    torn = caption("a, (b, c:1.2), d, e", shuffle_caption=True)
    said["torn"] = custom.parse_prompt_attention(torn) != custom.parse_prompt_attention("a, (b, c:1.2), d, e")
    said["separator alone"] = caption("a;b", shuffle_caption=False, caption_separator=";")

    args = argparse.Namespace(save_last_n_steps=500, save_every_n_steps=250)
    said["kept"] = [
        step
        for step in range(250, 1001, 250)
        if step not in {train_util.get_remove_step_no(args, now) for now in range(250, 1001, 250)}
    ]
    bounded, text, unet = network()
    bounded.apply_to(text, unet, True, True)
    for one in (*bounded.unet_loras, *bounded.text_encoder_loras):
        torch.nn.init.constant_(one.lora_up.weight, 0.01)
    small = [one.lora_up.weight.clone() for one in bounded.unet_loras]
    bounded.apply_max_norm_regularization(1.0, "cpu")
    said["below the bound"] = all(map(torch.equal, small, [one.lora_up.weight for one in bounded.unet_loras]))
    said["minimum metadata"] = "ss_training_comment" in train_util.SS_METADATA_MINIMUM_KEYS
    print(json.dumps(said))


main()
