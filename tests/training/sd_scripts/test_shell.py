"""Commands as people type them; bash itself takes apart what it can, and has to say the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tagflow.training.check.rules import faults_of
from tagflow.training.sd_scripts.shell import read_typed
from tagflow.training.setup.read import setup_of_typed

S = "sdxl_train_network.py"
BASH = [
    f"nohup accelerate launch {S} --seed=1 --sdpa > log.txt 2>&1 &",
    f"accelerate launch {S} --seed 1 2>&1 | tee train.log",
    f"accelerate launch {S} --seed 1 &> log.txt; echo done",
    f"accelerate launch {S} --seed 1 --sdpa >> log.txt 2>>err.txt && echo done || echo failed",
    f"CUDA_VISIBLE_DEVICES=0 accelerate launch --num_processes=1 {S} --output_dir '/data/my out' # fast",
    f"export OUT=/out RATE=1e-4\naccelerate launch {S} --output_dir $OUT --learning_rate=${{RATE}}",
    f"accelerate launch {S} \\\n  --seed=1 \\\n  --output_name='x y' \\\n  --sdpa\necho done",
    f"# first\naccelerate launch {S} \\\n --seed 1 #no comment",
    f'accelerate launch {S} --network_args "algo=\\"lokr\\"" conv_dim=4 --caption_prefix=\'a, b\'',
    f'accelerate launch {S} --keep_tokens_separator="|||" --secondary_separator=";;;" --output_name a\\&b',
    f"accelerate launch {S} --output_dir /data/my\\ out --seed 1;",
    f"accelerate launch {S} --sample_prompts=a#b.txt --training_comment 'it costs > 5; or less | more & so'",
    f"cd . && accelerate launch {S} --seed 1 < /dev/null",
    f"accelerate launch {S} --seed 1>log.txt",
    f"env A=1 nice -n 10 accelerate launch {S} --seed 1",
    f"for i in 1; do echo; done; accelerate launch {S} --optimizer_args weight_decay=0.1 betas=0.9,0.99",
]


@pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="no bash")
@pytest.mark.parametrize("text", BASH)
def test_bash_makes_the_same_words_of_it(text: str, tmp_path: Path) -> None:
    tool = tmp_path / "accelerate"
    tool.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"open({str(tmp_path / 'words.json')!r}, 'w').write(json.dumps(sys.argv[1:]))\n"
    )
    tool.chmod(0o755)
    place = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(
        ["bash", "-c", f"{text}\nwait"], cwd=tmp_path, env=place, capture_output=True, check=False, timeout=60
    )
    theirs = json.loads((tmp_path / "words.json").read_text())
    ours = read_typed(text, S).words
    assert ours[ours.index(S) :] == theirs[theirs.index(S) :]


OTHERS = [
    (f'$env:CUDA_VISIBLE_DEVICES="0"; & .\\v\\python {S} --output_dir "D:\\lora\\out" `\n --seed=1 *> log',
     ["--output_dir", "D:\\lora\\out", "--seed=1"]),
    (f'$lr = "1e-4"\n$out = \'x\'\naccelerate launch {S} --learning_rate=$lr --output_dir $out',
     ["--learning_rate=1e-4", "--output_dir", "x"]),
    (f'set CUDA_VISIBLE_DEVICES=0 && accelerate launch ^\n {S} ^\n --output_dir "C:\\my out" >> log.txt 2>&1',
     ["--output_dir", "C:\\my out"]),
    (f"set OUT=D:\\x\r\naccelerate launch {S} --output_dir %OUT% ^\r\n --sdpa\r\npause",
     ["--output_dir", "D:\\x", "--sdpa"]),
    (f"PS C:\\sd> accelerate launch {S} --output_dir C:\\data\\out --seed 1",
     ["--output_dir", "C:\\data\\out", "--seed", "1"]),
    (f"accelerate launch {S} --output_dir=C:\\out\\ --seed 1", ["--output_dir=C:\\out\\", "--seed", "1"]),
    (f"tmux new -d -s t 'accelerate launch {S} --seed 1'", ["--seed", "1"]),
    (f"bash -c \"cd x; accelerate launch {S} --seed 1 | tee log\"", ["--seed", "1"]),
    (f"!accelerate launch {S} --seed 1", ["--seed", "1"]),
    (f"(venv) user@host:~$ accelerate launch {S} --seed 1", ["--seed", "1"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), OTHERS, ids=[text[:30] for text, _ in OTHERS])
def test_other_shells(text: str, words: list[str]) -> None:
    found = read_typed(text, S)
    place = next(n for n, word in enumerate(found.words) if word.endswith(S))
    assert found.words[place + 1 :] == words and found.faults == []


@pytest.mark.parametrize("typed", ["\u2014sdpa", "\u2013sdpa", "\u2212\u2212sdpa", "-\u2013sdpa"])
def test_a_long_dash_is_named_and_read_as_what_was_meant(typed: str, tmp_path: Path) -> None:
    setup = setup_of_typed(f"{S} --network_args conv_dim=4 {typed}", tmp_path)
    (found,) = setup.faults
    assert found.code == "option-typed" and typed in found.detail and "U+" in found.detail
    assert found.cure == "write --sdpa" and found.option == "sdpa" and setup.values["sdpa"] is True


def test_curly_quotes_and_spaces_that_part_nothing(tmp_path: Path) -> None:
    setup = setup_of_typed(f"{S} --output_name=\u201ccat\u201d --seed 1\u00a0--sdpa", tmp_path)
    found = [(one.code, one.option) for one in setup.faults]
    assert found == [("option-typed", "output_name"), ("option-typed", "sdpa")]
    assert (setup.values["output_name"], setup.values["seed"], setup.values["sdpa"]) == ("cat", 1, True)


def test_a_variable_that_nobody_set_is_no_fault_of_its_option(tmp_path: Path) -> None:
    setup = setup_of_typed(f"accelerate launch {S} --network_dim $DIM --output_dir %OUT%", tmp_path)
    found = [one for one in faults_of(setup) if one.option in ("network_dim", "output_dir")]
    assert {one.code for one in found} == {"option-variable"}


def test_a_folder_that_is_gone_into_is_where_paths_count_from(tmp_path: Path) -> None:
    (tmp_path / "sd").mkdir()
    text = f"cd sd && accelerate launch {S} --output_dir out"
    assert setup_of_typed(text, tmp_path).path("output_dir") == tmp_path / "sd" / "out"


def test_one_hyphen_and_an_open_quote(tmp_path: Path) -> None:
    (found,) = setup_of_typed(f"{S} -sdpa", tmp_path).faults
    assert found.code == "option-unknown" and found.cure == "write --sdpa"
    with pytest.raises(ValueError, match="quotation"):
        setup_of_typed(f"{S} --output_name 'x", tmp_path)
