"""Run by the trainer's own Python inside sd-scripts: what its parser and its sanitizer say to many cases.

stdin: {"commands": [[word, ...]], "datasets": [{...}]}. The last line of stdout: the answers, null where
refused.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))


def main() -> None:
    import sdxl_train_network
    from library import config_util

    asked = json.load(sys.stdin)
    parser = sdxl_train_network.setup_parser()
    sanitizer = config_util.ConfigSanitizer(True, True, False, True)
    commands, datasets = [], []
    for words in asked["commands"]:
        with contextlib.redirect_stderr(io.StringIO()):
            try:
                commands.append(vars(parser.parse_args(words)))
            except SystemExit:
                commands.append(None)
    for doc in asked["datasets"]:
        try:
            generator = config_util.BlueprintGenerator(sanitizer)
            made = generator.generate(doc, parser.parse_args([]))
            datasets.append(
                [vars(one.params) for group in made.dataset_group.datasets for one in group.subsets]
            )
        except Exception:
            datasets.append(None)
    print(json.dumps({"commands": commands, "datasets": datasets}, default=str))


main()
