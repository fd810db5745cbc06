"""Run by the trainer's own Python: how far the real trainer comes with each of many commands.

Argument: sd-scripts' folder. stdin: [[word, ...], ...]; the last line of stdout, for each: `parser`, `config`
or the name of the exception, or `ended`; where it comes as far as the model, what optimizer and scheduler say
then: `optimizer: NAME`, `scheduler: NAME`, or `load`. Tokenizers and model are stood in for.
"""

import contextlib
import io
import json
import sys

sys.path.insert(0, sys.argv.pop(1))


class Reached(Exception):
    """The trainer wanted the model."""


def main() -> None:
    import sdxl_train_network
    import torch
    from library import train_util

    class Trainer(sdxl_train_network.SdxlNetworkTrainer):
        def get_tokenize_strategy(self, args):
            return object()

        def get_tokenizers(self, strategy):
            return []

        def load_target_model(self, *args):
            raise Reached

    def said(args) -> str:
        try:
            Trainer().train(args)
            return "ended"
        except Reached:
            pass
        except Exception as problem:
            return type(problem).__name__
        return late(args)

    def late(args) -> str:
        lone = [torch.nn.Parameter(torch.zeros(1))]
        try:
            _, _, optimizer = train_util.get_optimizer(args, [{"params": lone, "lr": args.learning_rate}])
        except Exception as problem:
            return f"optimizer: {type(problem).__name__}"
        try:
            train_util.get_scheduler_fix(args, optimizer, 1)
        except Exception as problem:
            return f"scheduler: {type(problem).__name__}"
        return "load"

    def asked(words) -> str:
        sys.argv[1:] = words
        train_util.TokenizeStrategy._strategy = train_util.LatentsCachingStrategy._strategy = None
        try:
            parser = sdxl_train_network.setup_parser()
            args = train_util.read_config_from_file(parser.parse_args(), parser)
        except SystemExit as ended:
            return "parser" if ended.code == 2 else "config"
        return said(args)

    answers = []
    for words in json.load(sys.stdin):
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            answers.append(asked(words))
    print(json.dumps(answers))


main()
