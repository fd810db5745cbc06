"""Run by the trainer's own Python: how get_optimizer and get_scheduler_fix take many sets of options.

Argument: sd-scripts' folder. stdin: [{option: value}, ...]. The last line of stdout, for each: an empty text
where both take it and three steps go through, else the exception's name; `not asked` where a package lacks.
The rates come to the groups by the real networks/lora.py, of a U-Net and a text encoder of small layers.
"""

import argparse
import contextlib
import io
import json
import sys

sys.path.insert(0, sys.argv.pop(1))
BLOCKS = ("input_blocks_4_1", "input_blocks_8_1", "middle_block_1", "output_blocks_0_1", "output_blocks_5_1")


def network_of(lora, torch, values):
    """A LoRA network with a module for some blocks and one text encoder, and the weights of its arguments."""
    words = dict(word.split("=") for word in values["network_args"] or [])
    kept = lora.LoRANetwork.__new__(lora.LoRANetwork)
    torch.nn.Module.__init__(kept)
    made = {}
    for name in (
        *(f"lora_unet_{block}_proj_in" for block in BLOCKS),
        "lora_te1_text_model_encoder_layers_0_mlp_fc1",
    ):
        made[name] = lora.LoRAModule(name, torch.nn.Linear(8, 8), 1.0, 4, 1)
    kept.unet_loras = [one for name, one in made.items() if "unet" in name]
    kept.text_encoder_loras = [one for name, one in made.items() if "te1" in name]
    if values["network_train_unet_only"]:
        kept.text_encoder_loras = []
    kept.loras = torch.nn.ModuleList(made.values())
    kept.block_lr, kept.block_lr_weight = False, None
    ratios = [float(words[key]) if key in words else None for key in (
        "loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio")]  # fmt: skip
    kept.set_loraplus_lr_ratio(*ratios)
    weights = lora.parse_block_lr_kwargs(True, words)
    if weights is not None:
        kept.set_block_lr_weight(weights)
    return kept


def main():
    import torch
    from library import train_util
    from networks import lora

    def ends(values):
        args = argparse.Namespace(**values)
        torch.manual_seed(1)
        network = network_of(lora, torch, values)
        rate = args.text_encoder_lr[0] if isinstance(args.text_encoder_lr, list) else args.text_encoder_lr
        groups, _ = network.prepare_optimizer_params(rate, args.unet_lr, args.learning_rate)
        try:
            _, _, optimizer = train_util.get_optimizer(args, groups)
            scheduler = train_util.get_scheduler_fix(args, optimizer, 1)
            for _ in range(3):
                for group in optimizer.param_groups:
                    for one in group["params"]:
                        one.grad = torch.randn_like(one)
                optimizer.step()
                scheduler.step()
        except ModuleNotFoundError:
            return "not asked"
        except ImportError as problem:
            return "not asked" if str(problem).startswith("No ") else "ImportError"
        except Exception as problem:
            return type(problem).__name__
        return ""

    answers = []
    for values in json.load(sys.stdin):
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            answers.append(ends(values))
    print("\n" + json.dumps(answers))


main()
