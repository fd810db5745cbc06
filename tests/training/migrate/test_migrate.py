"""`tagflow train migrate`: an SD 1.5 configuration becomes an SDXL one, each line with its reason."""

from __future__ import annotations

import json
import tomllib

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tagflow.training.migrate.migrate import flat, migrate
from tagflow.training.migrate.rules import TABLES
from tagflow.training.plan.memory import Load, lora_parameters
from tagflow.training.sd_scripts.dataset_config import faults
from tagflow.training.sd_scripts.options import known_options

SD15 = """\
# my best run
[model]
pretrained_model_name_or_path = "sd15.safetensors"
vae = "vae-ft-mse.safetensors"
clip_skip = 2
v2 = false

[network]
network_module = "networks.lora"
network_dim = 64
network_alpha = 32  # half of dim

[train]
train_data_dir = "images"
output_name = "cabin"
resolution = "512,512"
learning_rate = 3e-4
text_encoder_lr = 1e-4
optimizer_type = "AdamW8bit"
lr_scheduler = "cosine_with_restarts"
lr_scheduler_num_cycles = 3
train_batch_size = 8
gradient_accumulation_steps = 2
max_train_epochs = 12
"""


@pytest.fixture
def migrated(folder):
    """`migrated(text, ...)`: the changes by option, and the new values, flat."""

    def make(text, dataset=None):
        root = folder({"sd15.toml": text, **({"data.toml": dataset} if dataset else {})})
        found = migrate(root / "sd15.toml", root / "new.dataset.toml")
        return found, {(one.file, one.option): one for one in found.changes}, flat(tomllib.loads(found.text))

    return make


def test_the_quick_references_table(migrated):
    _, changes, values = migrated(SD15)
    same = {
        "network_dim": 64, "network_alpha": 32, "learning_rate": 3e-4, "optimizer_type": "AdamW8bit",
        "lr_scheduler": "cosine_with_restarts", "lr_scheduler_num_cycles": 3, "max_train_epochs": 12,
        "network_module": "networks.lora",
    }  # fmt: skip
    new = {
        "resolution": "1024,1024", "train_batch_size": 4, "gradient_accumulation_steps": 4,
        "text_encoder_lr": [6.7e-5], "max_token_length": 225, "max_bucket_reso": 2048, "enable_bucket": True,
        "caption_extension": ".txt", "output_name": "cabin_sdxl", "train_data_dir": "images",
    }  # fmt: skip
    assert values == same | new
    actions = {option: one.verdict.action for (_, option), one in changes.items()}
    assert {actions[name] for name in same} == {"kept"}
    left_out = {name for name, action in actions.items() if action == "dropped"}
    assert left_out == {"pretrained_model_name_or_path", "vae", "clip_skip", "v2"}


def test_every_line_of_the_new_file_says_why(migrated):
    found, changes, _ = migrated(SD15)
    lines = found.text.splitlines()
    assert "# my best run" in lines
    assert "network_alpha = 32 # half of dim; goes with network_dim" in [
        line.replace("  #", " #") for line in lines
    ]
    for line in lines:
        name, equals, rest = line.partition(" = ")
        if equals and not line.startswith("#"):
            assert " # " in rest and changes["sd15.toml", name].verdict.reason in rest, line
    for name in ("clip_skip", "v2", "vae"):
        assert any(line.startswith(f"# left out: {name} = ") for line in lines)


@pytest.mark.parametrize(
    ("batch", "accumulation", "expected"),
    [(8, 2, (4, 4)), (16, 1, (8, 2)), (2, 1, (1, 2)), (1, 4, (1, 4)), (1, None, (1, None)), (3, 1, (1, 3)),
     (4, None, (2, 2)), (5, 2, (2, 5)), (5, 1, (2, 3))],
)  # fmt: skip
def test_batch_times_accumulation_stays(migrated, batch, accumulation, expected):
    text = f"train_batch_size = {batch}\n"
    text += f"gradient_accumulation_steps = {accumulation}\n" if accumulation else ""
    _, _, values = migrated(text)
    assert (values["train_batch_size"], values.get("gradient_accumulation_steps")) == expected


@pytest.mark.parametrize(
    ("text", "expected", "says"),
    [
        ("learning_rate = 3e-4\ntext_encoder_lr = 3e-4", [2.01e-4], "0.67 of 0.0003"),
        ("learning_rate = 3e-4", [2.01e-4], "it was learning_rate"),
        ("learning_rate = 1e-4\ntext_encoder_lr = [5e-5, 1e-5]", [3.35e-5], "takes the first"),
        ("text_encoder_lr = 0.0", 0.0, "left as they are"),
        ("text_encoder_lr = 5e-5\nnetwork_train_unet_only = true", None, "no effect"),
        ("text_encoder_lr = 1.0\noptimizer_type = 'Prodigy'", 1.0, "must not differ"),
    ],
)
def test_the_text_encoders_rate(migrated, text, expected, says):
    _, changes, values = migrated(text)
    assert values.get("text_encoder_lr") == expected
    assert says in changes["sd15.toml", "text_encoder_lr"].verdict.reason


@pytest.mark.parametrize(
    ("line", "expected", "action"),
    [
        ("clip_skip = 2", None, "dropped"),
        ("v_parameterization = true", None, "dropped"),
        ("bucket_no_upscale = true", None, "dropped"),
        ("enable_bucket = true\nbucket_no_upscale = true", True, "look"),
        ("max_bucket_reso = 768", 2048, "changed"),
        ("max_bucket_reso = 4096", 4096, "kept"),
        ("bucket_reso_steps = 8", 64, "changed"),
        ("bucket_reso_steps = 64", 64, "kept"),
        ("max_token_length = 150", 225, "changed"),
        ("enable_bucket = false", True, "changed"),
        ("resolution = 768", "1024,1024", "changed"),
        ("output_name = 'mine_SDXL'", "mine_SDXL", "kept"),
        ("sample_prompts = 'p.txt'", "p.txt", "look"),
        ("text_encoder_lr1 = 1e-5", None, "unknown"),
        ("xformers = true", True, "kept"),
    ],
)
def test_one_option(migrated, line, expected, action):
    name = line.splitlines()[-1].split()[0]
    _, changes, values = migrated(line + "\n")
    assert values.get(name) == expected and changes["sd15.toml", name].verdict.action == action


def test_fp16_gets_the_vae_in_full_precision_and_bf16_does_not(migrated):
    assert migrated("mixed_precision = 'fp16'")[2]["no_half_vae"] is True
    assert "no_half_vae" not in migrated("mixed_precision = 'bf16'")[2]


DATASET = """\
[general]
enable_bucket = true
[[datasets]]
resolution = [512, 512]  # square
batch_size = 8
max_bucket_reso = 1024
  [[datasets.subsets]]
  image_dir = "a"
  caption_extension = ".caption"
[[datasets]]
resolution = 512
batch_size = 4
  [[datasets.subsets]]
  image_dir = "b"
"""


def test_the_datasets_file_is_migrated_with_it(migrated):
    found, _, values = migrated("dataset_config = 'data.toml'\ntrain_batch_size = 1\n", DATASET)
    new = tomllib.loads(found.dataset_text)
    assert [(one["resolution"], one["batch_size"]) for one in new["datasets"]] == [
        ([1024, 1024], 4),
        (1024, 2),
    ]
    assert new["datasets"][0]["max_bucket_reso"] == 2048
    assert new["datasets"][0]["subsets"][0] == {"image_dir": "a", "caption_extension": ".caption"}
    assert values["gradient_accumulation_steps"] == 2
    assert values["dataset_config"] == str(found.source.with_name("new.dataset.toml"))
    assert "resolution" not in values and values["max_bucket_reso"] == 2048  # the second dataset has none
    assert "# square; " in found.dataset_text


def test_what_the_datasets_file_does_not_take_does_not_stay_in_it(migrated):
    text = DATASET.replace("[512, 512]", '"512,512"').replace('image_dir = "b"', 'image_dir = "b"\n  odd = 3')
    found, changes, _ = migrated("dataset_config = 'data.toml'\n", text)
    new = tomllib.loads(found.dataset_text)
    assert faults(new) == [] and new["datasets"][0]["resolution"] == 1024
    assert (
        changes["data.toml", "odd"].verdict.action == "unknown"
        and "# left out: odd = 3" in found.dataset_text
    )


def test_the_size_that_is_told_is_what_sd_scripts_writes(migrated):
    """The quick reference says 190 MB."""
    _, changes, _ = migrated("network_dim = 64")
    for load in (Load(dim=64), Load(dim=64, text_encoders=False)):
        assert (
            str(round(2 * lora_parameters(load) / 1e6)) in changes["sd15.toml", "network_dim"].verdict.reason
        )


def test_captions_that_end_in_caption_stay_so(folder):
    root = folder({"sd15.toml": "train_data_dir = 'images'", "images/2_me/a.caption": "x"})
    assert "caption_extension" not in tomllib.loads(migrate(root / "sd15.toml").text).get("sdxl", {})


ODD = [
    "a.b = 1\nmodel = {clip_skip = 2, network_dim = 8}",
    "[x]\nnetwork_dim = 8\n[y]\nk = 1\n[x.z]\nw = 2\n[y.z]\nq = 1",
    "text_encoder_lr = [\n  1e-4, # one\n  1e-5,\n]\n",
    '"odd\\nname" = 1\n"sp ace" = "x\\u007f"\nnoise_offset = nan\ntraining_comment = """two\nlines"""',
    "when = 2026-01-01T00:00:00Z\n[[list]]\nq = 1\n[[list]]\nq = 2",
    "[sdxl]\nnetwork_dim = 4\n[sdxl1]\nseed = 1",
    "\ufeffseed = 1\r\nnetwork_dim = 4\r\n",
    "",
    "dataset_config = 'nowhere.toml'\n[other]\ndataset_config = 'there.toml'",
    "output_name = 3\ntrain_batch_size = 'x'\nresolution = [512, 768]\ntext_encoder_lr = []",
]


@pytest.mark.parametrize("text", ODD)
def test_odd_layouts_give_valid_toml(migrated, text):
    found, changes, values = migrated(text)
    for (_, option), one in changes.items():
        gone = one.verdict.action in ("dropped", "unknown")
        assert (option in values) != gone, option
    assert found.text.startswith("# tagflow ")


def some_value(option):
    """A value that sd-scripts takes from a TOML file for this option."""
    one = {
        "bool": st.booleans(), "int": st.integers(1, 900), "int_or_float": st.integers(1, 900),
        "float": st.floats(1e-6, 2),
        "str": st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=8),
    }.get(option.type, st.just("folder/name"))  # fmt: skip
    one = st.sampled_from(option.choices) if option.choices else one
    one = st.just("512,512") if option.name == "resolution" else one
    return st.lists(one, min_size=1, max_size=2) if option.many else one


OPTIONS = [
    one for one in known_options().by_name.values() if one.name not in ("dataset_config", "train_data_dir")
]
SETTINGS = st.lists(st.sampled_from(OPTIONS), unique_by=lambda one: one.name, max_size=12).flatmap(
    lambda some: st.fixed_dictionaries({one.name: some_value(one) for one in some})
)


@settings(max_examples=examples(60), deadline=None)
@given(values=SETTINGS, tables=st.booleans())
def test_what_sd_scripts_takes_before_it_takes_after(tmp_path_factory, values, tables):
    import tomlkit

    source = tmp_path_factory.mktemp("migrate") / "sd15.toml"
    source.write_bytes(tomlkit.dumps({"one": values} if tables else values).encode())
    found = migrate(source)
    new = flat(tomllib.loads(found.text))
    for name, value in new.items():
        assert known_options().by_name[name].fault(value) is None, (name, value)
    assert not {"clip_skip", "v2", "v_parameterization", "resume", "vae"} & set(new)
    for name in values:
        if name not in new:
            assert name in TABLES["drop"] or name in ("text_encoder_lr", "bucket_no_upscale"), name
    steps = (values.get("train_batch_size", 1), values.get("gradient_accumulation_steps", 1))
    after = (new.get("train_batch_size", 1), new.get("gradient_accumulation_steps", 1))
    assert steps[0] * steps[1] <= after[0] * after[1] < steps[0] * steps[1] + after[0]


def test_the_command_writes_new_files_only(tagflow, folder, tree):
    root = folder({"sd15.toml": SD15 + 'dataset_config = "data.toml"\n', "data.toml": DATASET})
    before = tree(root)
    printed = tagflow("train", "migrate", root / "sd15.toml")
    assert printed.code == 0 and tree(root) == before
    values = flat(tomllib.loads(printed.out))
    assert values["train_batch_size"] == 4 and values["dataset_config"] == "data.toml"
    assert printed.tells("warning: migrate-look", "dataset_config: with --out")
    assert "error: checkpoint-missing: " in printed.err

    written = tagflow("train", "migrate", root / "sd15.toml", "--out", root / "sdxl.toml")
    assert written.code == 0
    assert "changed  train_batch_size" in written.out and "8 -> 4: half of 8, " in written.out
    values = flat(tomllib.loads((root / "sdxl.toml").read_text()))
    assert values["dataset_config"] == str(root / "sdxl.dataset.toml")
    assert tomllib.loads((root / "sdxl.dataset.toml").read_text())["datasets"][1]["resolution"] == 1024
    now = tree(root)
    assert {name: now[name] for name in before} == before
    for out in ("sd15.toml", "sdxl.toml", "data.toml"):
        refused = tagflow("train", "migrate", root / "sd15.toml", "--out", root / out)
        assert refused.code == 2 and "exists already" in refused.err
    assert tree(root) == now


def test_json(tagflow, folder):
    root = folder({"sd15.toml": SD15 + "noise_offset = nan\nwhen = 2026-01-01\n"})
    told = tagflow("train", "migrate", root / "sd15.toml", "--json").json
    assert told["schema"] == "tagflow.migrate/2" and told["script"] == "sdxl_train_network.py"
    rows = {one["option"]: one for one in told["changes"]}
    assert rows["train_batch_size"]["before"] == 8 and rows["train_batch_size"]["after"] == 4
    assert rows["when"]["action"] == "unknown" and rows["noise_offset"]["before"] == "NaN"
    assert all(one["reason"] for one in told["changes"])
    assert "checkpoint-missing" in {one["code"] for one in told["findings"]}
    assert flat(tomllib.loads(told["toml"]))["network_dim"] == 64


def test_the_rules_find_nothing_else_to_do_in_it(tagflow, folder):
    """What is left is what only the user knows: the checkpoint, and where the images are."""
    root = folder(
        {"sd15.toml": SD15 + 'save_precision = "fp16"\nmixed_precision = "bf16"\noutput_dir = "out"\n'}
    )
    told = tagflow("train", "migrate", root / "sd15.toml", "--json").json
    errors = {one["code"] for one in told["findings"] if one["severity"] == "error"}
    assert errors == {"checkpoint-missing", "data-not-found"}


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"a = ", "sd15.toml: "), (b"\xff\xfe", "sd15.toml: "), (b'resolution = "832,1216"', "SDXL's already")],
)
def test_what_cannot_be_migrated(tagflow, folder, content, says):
    root = folder({"sd15.toml": content})
    result = tagflow("train", "migrate", root / "sd15.toml")
    assert result.code == 3 and says in result.err and result.out == ""
    assert tagflow("train", "migrate", root / "none.toml").code == 3
    assert tagflow("train", "migrate", root).code == 3


@pytest.mark.parametrize(
    "dataset",
    ["[datasets]", "[[datasets]]\n[datasets.subsets]", '[[datasets]]\nsubsets = ["a"]', "general = 3"],
)
def test_a_dataset_file_of_another_shape_is_named_and_not_migrated(tagflow, folder, dataset):
    root = folder({"sd15.toml": "dataset_config = 'd.toml'", "d.toml": dataset})
    result = tagflow("train", "migrate", root / "sd15.toml", "--out", root / "new.toml")
    assert result.code == 3 and "d.toml: " in result.err and "table" in result.err
    assert sorted(path.name for path in root.iterdir()) == ["d.toml", "sd15.toml"]


def test_one_long_side_makes_no_sdxl_resolution(tagflow, tmp_path):
    file = tmp_path / "sd15.toml"
    file.write_text('resolution = "512,1024"\ntrain_batch_size = 4\n')
    done = tagflow("train", "migrate", file)
    assert done.code == 0 and "train_batch_size = 2" in done.out


GUI = {
    "LoRA_type": "Kohya LoCon", "conv_dim": 8, "conv_alpha": 4, "max_resolution": "512,512", "epoch": 10,
    "optimizer": "AdamW8bit", "optimizer_args": '"weight_decay=0.1" "betas=0.9,0.99"', "learning_rate": 1e-4,
    "text_encoder_lr": 5e-5, "unet_lr": 1e-4, "network_dim": 32, "network_alpha": 16, "clip_skip": "2",
    "train_batch_size": 4, "gradient_accumulation_steps": "1", "noise_offset_type": "Original",
    "mixed_precision": "bf16", "save_precision": "bf16", "xformers": "xformers", "lr_scheduler": "cosine",
    "save_every_n_epochs": 1, "seed": "42", "output_name": "cat", "max_data_loader_n_workers": "0",
    "bucket_reso_steps": 64.0, "caption_extension": ".txt", "max_token_length": "75", "enable_bucket": True,
}  # fmt: skip
COMMAND = (
    "cd sd-scripts && accelerate launch --num_cpu_threads_per_process 1 train_network.py "
    "--pretrained_model_name_or_path sd15.safetensors --resolution=512,512 --train_batch_size 4 "
    "--network_module networks.lora --network_dim 32 --network_alpha 16 --learning_rate 1e-4 --clip_skip 2 "
    "--max_train_epochs 10 --output_name cat --save_precision bf16 --mixed_precision bf16 --xformers "
    "--caption_extension .txt > log.txt 2>&1 &"
)
TOML = (
    'epoch = 10\nnoise_offset_type = "Original"\nmax_train_steps = 1200\nresolution = "512,512"\n'
    'network_module = "networks.lora"\nnetwork_dim = 32\nnetwork_alpha = 16\nunet_lr = "1e-4"\n'
    "text_encoder_lr = [5e-5, 5e-5]\ntrain_batch_size = 4\nclip_skip = 2\n"
    "persistent_data_loader_workers = 1\n"
    'mixed_precision = "bf16"\nsave_precision = "bf16"\nxformers = 1\ndynamo_backend = "no"\n'
    'caption_extension = ".txt"\noutput_name = "cat"\nmax_data_loader_n_workers = 2\n'
)


@pytest.mark.parametrize("name", ["gui.json", "gui.toml", "train.sh", "command"])
def test_what_a_gui_or_a_shell_says_is_migrated_and_passes_the_check(tagflow, folder, name):
    paths = {"train_data_dir": "data", "output_dir": "out"}
    typed = COMMAND.replace(" > ", "".join(f" --{key}={value}" for key, value in paths.items()) + " > ")
    texts = {
        "gui.json": json.dumps(GUI | paths),
        "gui.toml": TOML + "".join(f'{key} = "{value}"\n' for key, value in paths.items()),
        "train.sh": f"#!/bin/bash\n# my run\n{typed}\n",
        "command": typed,
    }
    root = folder({name: texts[name], "data/10_cat/a.txt": "cat"})
    Image.new("RGB", (1024, 1024)).save(root / "data" / "10_cat" / "a.png")
    given = ["--", typed] if name == "command" else [root / name]
    base = "stabilityai/stable-diffusion-xl-base-1.0"
    done = tagflow("train", "migrate", "--out", root / "sdxl.toml", "--base", base, *given)
    assert done.code == 0, done.err
    values = flat(tomllib.loads((root / "sdxl.toml").read_text()))
    assert (values["resolution"], values["train_batch_size"]) == ("1024,1024", 2)
    assert (values["network_dim"], values["pretrained_model_name_or_path"]) == (32, base)
    assert not values.keys() & {"epoch", "noise_offset_type", "clip_skip", "optimizer"}
    for key in paths:
        values[key] = str(root / values[key])
    (root / "here.toml").write_text("".join(f"{key} = {json.dumps(one)}\n" for key, one in values.items()))
    checked = tagflow("train", "check", root / "here.toml", "--json")
    assert checked.code == 0, [one for one in checked.json["findings"] if one["severity"] == "error"]


def test_a_preset_of_sdxl_is_only_written_anew(folder):
    root = folder({"p.json": json.dumps(GUI | {"max_resolution": "1024,1024", "sdxl_no_half_vae": True})})
    values = flat(tomllib.loads(migrate(root / "p.json").text))
    assert (values["train_batch_size"], values["max_train_epochs"], values["no_half_vae"]) == (4, 10, True)
    assert values["network_args"] == ["conv_dim=8", "conv_alpha=4"]
    assert values["optimizer_args"] == ["weight_decay=0.1", "betas=0.9,0.99"]
    assert values["bucket_reso_steps"] == 64 and isinstance(values["bucket_reso_steps"], int)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", '{"seed": 1}', "kohya_ss GUI"),
        ("a.json", "{", "Expecting"),
        ("a.sh", "ls", "no option"),
        ("a.sh", "accelerate launch train_network.py --output_name 'x", "taken apart"),
        ("a.toml", "[general_args.args]\nseed = 1\n", "LoRA_Easy_Training_Scripts"),
    ],
)
def test_other_forms_are_refused_by_name(tagflow, folder, name, text, says):
    done = tagflow("train", "migrate", folder({name: text}) / name)
    assert done.code == 3 and says in done.err
