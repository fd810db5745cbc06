"""Run by the trainer's own Python: how many batches and images the real datasets of some runs have.

Argument: sd-scripts' folder. stdin: the paths of files for --config_file. The last line of stdout, for each:
batches of an epoch, images by how often an epoch shows them (by folder and name), images held out.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, sys.argv.pop(1))


def main() -> None:
    import sdxl_train_network
    from library import config_util, train_util

    parser = sdxl_train_network.setup_parser()
    answers = []
    for named in json.load(sys.stdin):
        sys.argv = ["sdxl_train_network.py", "--config_file", named]
        args = train_util.read_config_from_file(parser.parse_args(sys.argv[1:]), parser)
        train_util.prepare_dataset_args(args, True)
        sanitizer = config_util.ConfigSanitizer(True, True, args.masked_loss, True)
        blueprint = config_util.BlueprintGenerator(sanitizer).generate(
            config_util.load_user_config(args.dataset_config), args
        )
        group, validation = config_util.generate_dataset_group_by_blueprint(blueprint.dataset_group)
        shown = {}
        for dataset in group.datasets:
            for info in dataset.image_data.values():
                file = Path(info.absolute_path)
                shown[f"{file.parent.name}/{file.name}"] = [info.num_repeats, info.caption]
        apart = 0 if validation is None else sum(len(one.image_data) for one in validation.datasets)
        answers.append({"batches": len(group), "shown": shown, "held_out": apart})
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
