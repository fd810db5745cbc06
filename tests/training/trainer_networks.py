"""Run by the trainer's own Python: what the real network modules make of arguments and of weights.

Argument: sd-scripts' folder. stdin: [{"module", "args", "dim", "alpha", "weights", "base", "unet_only"}]. The
last line of stdout, for each: `ok TEXT UNET`, with the number of modules for text encoders and for the
U-Net, and where weights were loaded `loaded N`; or the name of what was raised. The models have SDXL's
layers, and no numbers.
"""

import contextlib
import importlib
import io
import json
import sys

sys.path.insert(0, sys.argv.pop(1))
sys.dont_write_bytecode = True


def models(torch):
    from library.sdxl_original_unet import SdxlUNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    def config(width, layers, heads):
        return CLIPTextConfig(
            hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
            num_attention_heads=heads, projection_dim=1280,
        )  # fmt: skip

    with torch.device("meta"):
        unet = SdxlUNet2DConditionModel()
        text = [CLIPTextModel(config(768, 12, 12)), CLIPTextModelWithProjection(config(1280, 32, 20))]
    for model in (unet, *text):  # one number for each tensor: their sizes count
        for module in model.modules():
            for name, weight in list(module._parameters.items()):
                if weight is not None:
                    one = torch.zeros(()).expand(weight.shape)
                    module._parameters[name] = torch.nn.Parameter(one, requires_grad=False)
    return text, unet


def main() -> None:
    import torch

    text, unet = models(torch)
    lora = importlib.import_module("networks.lora")
    targets = list(lora.LoRANetwork.UNET_TARGET_REPLACE_MODULE)

    def made(asked):
        lora.LoRANetwork.UNET_TARGET_REPLACE_MODULE = list(targets)  # it adds to the class's own list
        module = importlib.import_module(asked["module"])
        if asked.get("base"):
            network, weights = module.create_network_from_weights(1.0, asked["base"], None, text, unet)
            for one in network.unet_loras:
                start = one.lora_name + "."
                own = {name[len(start) :]: data for name, data in weights.items() if name.startswith(start)}
                one.org_module.weight + own["lora_up.weight"] @ own["lora_down.weight"]
            return network, ""
        words = dict(word.split("=", 1) for word in asked["args"])
        words.setdefault("dropout", None)
        network = module.create_network(
            1.0, asked["dim"], asked["alpha"], None, text, unet, neuron_dropout=None, **words
        )
        if not asked.get("weights"):
            return network, ""
        for model in (unet, *text):
            for one in model.modules():
                one.__dict__.pop("forward", None)  # of a network before
        network.apply_to(text, unet, not asked.get("unet_only"), True)
        known = set(network.state_dict())
        network.load_weights(asked["weights"])
        from safetensors.torch import load_file

        return network, f" loaded {len(known & set(load_file(asked['weights'])))}"

    answers = []
    for asked in json.load(sys.stdin):
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            try:
                network, more = made(asked)
                parts = [
                    getattr(network, f"{of}_loras", getattr(network, f"{of}_ofts", []))
                    for of in ("text_encoder", "unet")
                ]
                answers.append(f"ok {len(parts[0])} {len(parts[1])}{more}")
            except Exception as problem:  # what the module raises is the answer
                answers.append(type(problem).__name__)
    print(json.dumps(answers))


main()
