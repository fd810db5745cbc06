"""Run by the trainer's own Python: how each of many runs ends, with models that are three numbers each.

Argument: sd-scripts' folder. stdin: {"runs": [[word, ...], ...], "lines": [prompt, ...], "launchers": [file
of accelerate, ...]}; the last line of stdout has the same keys. Of a run: how it `ends` (the exception, or
`ended`), whether the model was `loaded`, the batches `trained`, the sum of the network's `numbers` when it
was saved, and the files that are `left`. Of a line: what it is read as; of a file: the exception, or nothing.

Parser, datasets, data loader, accelerator, optimizer, schedule, loop, states, masks and prompt files are the
real ones, and of a picture the shapes in SDXL's U-Net; models and network are stood in for.
"""

import contextlib
import io
import json
import sys
import types
from functools import cache
from pathlib import Path

sys.path.insert(0, sys.argv.pop(1))


def main() -> None:
    import sdxl_train_network
    import torch
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.state import AcceleratorState, GradientState, PartialState
    from library import custom_train_functions, sdxl_original_unet, sdxl_train_util, strategy_base, train_util

    seen = {}

    @cache
    def unet():
        with torch.device("meta"):
            return sdxl_original_unet.SdxlUNet2DConditionModel()

    class Lone(torch.nn.Module):
        supports_gradient_checkpointing = True
        device, dtype = torch.device("cpu"), torch.float32

        def __init__(self):
            super().__init__()
            self.numbers = torch.nn.ParameterList(torch.nn.Parameter(torch.ones(1)) for _ in range(3))

        def encode(self, images):
            latents = torch.zeros(len(images), 4, images.shape[2] // 8, images.shape[3] // 8)
            return types.SimpleNamespace(latent_dist=types.SimpleNamespace(sample=lambda: latents))

    class Network(Lone):
        def apply_to(self, *args):
            pass

        def prepare_optimizer_params(self, text, unet, rate):
            return [{"params": list(self.parameters()), "lr": rate}]

        def prepare_grad_etc(self, *args):
            self.requires_grad_(True)

        def on_epoch_start(self, *args):
            self.train()

        def get_trainable_params(self):
            return self.parameters()

        def save_weights(self, file, dtype, metadata):
            torch.save(self.state_dict(), file)
            seen["numbers"] = sum(float(one) for one in self.parameters())

    class Strategy:
        def tokenize(self, text):
            return [torch.zeros(1, 77, dtype=torch.long)] * 2

    class Trainer(sdxl_train_network.SdxlNetworkTrainer):
        def get_tokenize_strategy(self, args):
            return Strategy()

        def get_tokenizers(self, strategy):
            return []

        def load_target_model(self, *args):
            seen["loaded"] = True
            return "sdxl", [Lone(), Lone()], Lone(), Lone()

        def get_sai_model_spec(self, args):
            return {}

        def process_batch(self, batch, encoders, unet, network, *more, **named):
            seen["trained"] += named["is_train"]
            loss = custom_train_functions.apply_masked_loss(
                torch.ones(len(batch["captions"]), 4, 8, 8), batch
            )
            return loss.mean() * sum(one.sum() for one in network.parameters())

    class Pipeline:
        def __init__(self, **named):
            pass

        def to(self, device):
            pass

        def __call__(self, **named):
            shape = (2, 4, named["height"] // 8, named["width"] // 8)
            with torch.device("meta"):
                unet()(torch.zeros(shape), torch.zeros(2), torch.zeros(2, 77, 2048), torch.zeros(2, 2816))

        def latents_to_image(self, latents):
            return [types.SimpleNamespace(save=lambda file: None)]

    sdxl_train_util.sample_images = lambda *args, **named: train_util.sample_images_common(
        Pipeline, *args, **named
    )
    sys.modules["tiny_network"] = types.SimpleNamespace(create_network=lambda *args, **named: Network())
    for name in ("gradient_checkpointing_enable", "enable_gradient_checkpointing"):
        setattr(Lone, name, lambda self: None)

    def asked(words, number) -> dict:
        seen.clear()
        seen.update(loaded=False, trained=0)
        AcceleratorState._reset_state(True)
        GradientState._reset_state()
        PartialState._reset_state()
        for kind in vars(strategy_base).values():
            if getattr(kind, "_strategy", None) is not None:
                kind._strategy = None
        sys.argv[1:] = [word.replace("{out}", f"out{number}") for word in words]
        try:
            parser = sdxl_train_network.setup_parser()
            args = train_util.read_config_from_file(parser.parse_args(), parser)
            Trainer().train(args)
            ends = "ended"
        except SystemExit:
            ends = "parser"
        except Exception as problem:  # what the trainer dies of is the answer
            ends = type(problem).__name__
        out = Path(f"out{number}")
        return {**seen, "ends": ends, "left": sorted(file.name for file in out.glob("*.safetensors"))}

    def launched(file) -> str:
        try:
            load_config_from_file(file)
        except Exception as problem:  # what the trainer dies of is the answer
            return type(problem).__name__
        return ""

    said = json.load(sys.stdin)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        runs = [asked(words, number) for number, words in enumerate(said["runs"])]
        lines = [train_util.line_to_prompt_dict(line) for line in said["lines"]]
        launchers = [launched(file) for file in said["launchers"]]
    print(json.dumps({"runs": runs, "lines": lines, "launchers": launchers}))


main()
