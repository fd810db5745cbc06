"""Run by the trainer's own Python inside sd-scripts: what it logs of a small LoRA, by its own functions.

Arguments: the logging folder, and how many steps. Two Linear layers stand for the U-Net, one for a text
encoder; the numbers of Prodigy (`d`) are made up, all else (tags, norms, averages) is sd-scripts' own.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))


def main() -> None:
    import torch
    from accelerate import Accelerator
    from library import train_util
    from networks import lora
    from train_network import NetworkTrainer

    class Transformer2DModel(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

    class CLIPMLP(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(8, 8)

    unet, encoder = torch.nn.Sequential(Transformer2DModel()), torch.nn.Sequential(CLIPMLP())
    network = lora.create_network(1.0, 4, 4, None, encoder, unet)
    network.apply_to(encoder, unet, True, True)
    groups, descriptions = network.prepare_optimizer_params(1.0, 1.0, 1.0)
    optimizer = torch.optim.SGD(groups, lr=1.0)
    accelerator = Accelerator(log_with="tensorboard", project_dir=sys.argv[1], cpu=True)
    constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    optimizer, scheduler = accelerator.prepare(optimizer, constant)
    args = argparse.Namespace(
        optimizer_type="Prodigy", network_train_unet_only=False, wandb_run_name=None,
        log_tracker_config=None, log_tracker_name=None, wandb_api_key=None,
    )  # fmt: skip
    accelerator.init_trackers("network_train")
    trainer, recorder = NetworkTrainer(), train_util.LossRecorder()
    for step in range(1, int(sys.argv[2]) + 1):
        for group in optimizer.param_groups:
            group["d"] = 1e-6
        for name, weight in network.named_parameters():
            torch.nn.init.constant_(weight, 1.0 if "lora" in name else 0.0)
        scaled, mean, highest = network.apply_max_norm_regularization(1.0, torch.device("cpu"))
        loss = 0.1 + (step % 7) / 50
        recorder.add(epoch=0, step=step, loss=loss)
        logs = trainer.generate_step_logs(
            args, loss, recorder.moving_average, scheduler, descriptions, optimizer, scaled, mean, highest
        )
        trainer.step_logging(accelerator, logs, step, 1)
    accelerator.end_training()


main()
