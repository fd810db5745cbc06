"""Run by the trainer's own Python, in sd-scripts' folder: its real parser, checks and datasets, no model.

Arguments: configuration files. For each the trainer goes its own way up to where it would load the model, and
a line says `ACCEPTED` with its number of images and steps, or why it stopped.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))
import sdxl_train_network
from library import strategy_base, train_util


class ReachedTheModel(Exception):
    pass


def reached(args):
    raise ReachedTheModel


train_util.prepare_accelerator = reached  # the first thing after the last check
for file in list(sys.argv[1:]):
    for kind in vars(strategy_base).values():  # what it keeps for the one run of a process
        if getattr(kind, "_strategy", None) is not None:
            kind._strategy = None
    try:
        parser = sdxl_train_network.setup_parser()
        sys.argv[1:] = ["--config_file", file]  # it reads them once more for itself
        args = parser.parse_args()
        train_util.verify_command_line_training_args(args)
        args = train_util.read_config_from_file(args, parser)
        sdxl_train_network.SdxlNetworkTrainer().train(args)
        print(f"\nSTOPPED {file}: no data", flush=True)
    except ReachedTheModel:
        print(f"\nACCEPTED {file}", flush=True)
    except (Exception, SystemExit) as problem:
        print(f"\nSTOPPED {file}: {type(problem).__name__}: {problem}", flush=True)
