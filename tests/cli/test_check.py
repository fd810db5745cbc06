"""`tagflow check`: for hooks; reads, never writes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pictures import SOUND

from tagflow.findings.catalogue import kind_of


def test_a_clean_folder(tagflow, folder, tree):
    root = folder({"a.txt": "photograph, sofa", "b.txt": "lamp, photograph"})
    before = tree(root)
    result = tagflow("check", root)
    assert result.code == 0 and result.out == "trigger: none\n2 captions: 0 errors, 0 warnings, 0 notes\n"
    assert tree(root) == before


def test_errors_and_strict(tagflow, folder):
    root = folder({"a.txt": "sofa, sofa"})
    assert tagflow("check", root).code == 0
    assert tagflow("check", root, "--strict").code == 1
    (root / "b.txt").write_bytes(b"\xff")
    result = tagflow("check", root)
    assert (
        result.code == 1
        and result.out.startswith("error: caption-not-utf8: ")
        and f"    {root / 'b.txt'}: " in result.out
        and "cure: " in result.out
    )


def test_bom_prose_and_long_captions_are_no_errors(tagflow, folder):
    long = ", ".join(f"white wall number {number}" for number in range(70))
    prose = "A living room with a large sofa stands in front of the window. It is bright."
    root = folder({"a.txt": "\ufeffphotograph, sofa", "b.txt": prose, "c.txt": long})
    result = tagflow("check", root, "--json")
    assert result.code == 0
    found = {(one["where"]["file"].removeprefix(f"{root}/"), one["code"]) for one in result.json["findings"]}
    assert found >= {("a.txt", "bom"), ("b.txt", "prose"), ("c.txt", "tokens-over-limit")}


def test_json(tagflow, folder, monkeypatch):
    root = folder({"a.txt": "sofa,, sofa", "a.png": SOUND, "prompts.txt": "x"})
    result = tagflow("check", root, "--json").json
    assert list(result) == ["schema", "captions", "others", "triggers", "ontology", "findings"]
    assert result["schema"] == "tagflow.check/2" and result["captions"] == 1 and result["ontology"] is None
    assert result["others"] == [f"{root}/prompts.txt"]
    names = ["code", "severity", "where", "detail", "figures", "title", "cure"]
    for one in result["findings"]:
        kind = kind_of(one["code"])
        assert list(one) == names and list(one["where"]) == ["file", "line", "column", "option", "tag"]
        assert (one["severity"], one["title"], one["cure"]) == (kind.severity, kind.title, kind.cure)
    duplicate = next(one for one in result["findings"] if one["code"] == "tag-duplicate")
    assert duplicate["where"]["tag"] == "sofa"
    monkeypatch.chdir(root)
    assert {one["where"]["file"] for one in tagflow("check", "--json").json["findings"]} == {"a.txt", "."}


def test_single_files_and_what_is_no_caption(tagflow, folder, monkeypatch):
    root = folder(
        {"a.txt": "sofa, sofa", "b.txt": b"\xff", "a.png": SOUND, "b.png": SOUND, "prompts.txt": "x"}
    )
    result = tagflow("check", root / "a.txt")
    assert result.code == 0 and "1 caption: 0 errors, 1 warning" in result.out
    result = tagflow("check", root / "prompts.txt", root / "a.png")
    assert result.code == 0 and "prompts.txt: no caption" in result.err and "a.png: no caption" in result.err
    monkeypatch.chdir(root)
    assert "    b.txt: byte 0" in tagflow("check", "b.txt").out
    assert tagflow("check", "none.txt").code == 2


def test_a_name_cannot_steer_the_terminal(tagflow, folder):
    root = folder({"a\n\x1b[31m.txt": "sofa, sofa"})
    result = tagflow("check", root)
    assert "\x1b" not in result.out and "    " in result.out and "a\\n\\x1b[31m.txt: sofa" in result.out


def codes(result):
    return {one["code"] for one in result.json["findings"]}


def test_select_and_ignore(tagflow, folder):
    root = folder({"a.txt": "sofa,, sofa, <lora:a:1>,"})
    assert codes(tagflow("check", root, "--json")) == {
        "tag-empty", "tag-duplicate", "leftover-lora", "comma-trailing"
    }  # fmt: skip
    assert codes(tagflow("check", root, "--json", "--select", "tag-empty, tag-duplicate")) == {
        "tag-empty", "tag-duplicate"
    }  # fmt: skip
    chosen = ("--select", "tag-empty", "--select", "leftover-lora", "--ignore", "tag-empty,prose")
    assert codes(tagflow("check", root, "--json", *chosen)) == {"leftover-lora"}
    assert tagflow("check", root, "--strict", "--ignore", "tag-empty,tag-duplicate,leftover-lora").code == 0


def test_an_ignored_error_does_not_count(tagflow, folder):
    root = folder({"a.txt": b"\xff"})
    assert tagflow("check", root).code == 1
    assert tagflow("check", root, "--ignore", "caption-not-utf8").code == 0


@pytest.mark.parametrize("option", ["--select", "--ignore"])
@pytest.mark.parametrize("code", ["tag-duplicat", "tag-empty,tag-duplicat", "tag-empty,,tag-duplicate", ""])
def test_an_unknown_code_is_wrong_usage(tagflow, folder, option, code):
    result = tagflow("check", folder({"a.txt": "sofa"}), option, code)
    assert result.code == 2 and "there is no finding" in result.err and not result.out
    assert "tag-duplicat" not in code or "tag-duplicate" in result.err or ",," in code


def test_codes_in_the_configuration(tagflow, folder):
    root = folder({"a.txt": "sofa,, sofa,", "tagflow.toml": '[check]\nignore = ["tag-empty"]'})
    assert codes(tagflow("check", root, "--json")) == {"tag-duplicate", "comma-trailing"}
    assert "tag-empty" in codes(tagflow("check", root, "--json", "--ignore", "prose"))
    (root / "tagflow.toml").write_text('[check]\nselect = ["tag-duplicate"]')
    assert codes(tagflow("check", root, "--json")) == {"tag-duplicate"}
    for wrong in ('select = ["tag-duplicat"]', "select = 1", "ignore = [1]", 'pick = ["prose"]'):
        (root / "tagflow.toml").write_text(f"[check]\n{wrong}")
        result = tagflow("check", root)
        assert result.code == 3 and "check." in result.err, wrong


def test_explain(tagflow):
    kind = kind_of("caption-empty")
    result = tagflow("check", "--explain", "caption-empty")
    assert result.code == 0 and result.out.startswith(f"caption-empty (error): {kind.title}")
    for part in (kind.explanation, f"example: {kind.example}", f"cure: {kind.cure}"):
        assert " ".join(part.split()) in " ".join(result.out.split())
    result = tagflow("check", "--explain", "caption-emty")
    assert result.code == 2 and "did you mean caption-empty" in result.err
    assert "tagflow rule --all" in tagflow("check", "--explain", "zzzzzz").err
    assert tagflow("check", "--explain", "caption-empty", ".").code == 2


def test_a_code_of_something_else_may_be_selected_and_finds_nothing(tagflow, folder):
    result = tagflow("check", folder({"a.txt": "sofa, sofa"}), "--select", "vae-diffusers", "--json")
    assert result.code == 0 and not result.json["findings"]


def test_folder_wide_facts_of_single_files_come_from_the_whole_folder(tagflow, folder):
    files = {f"{at}.txt": f"zkv, sofa, tag {at}" for at in range(11)} | {
        "x.txt": "sofa, lamp",
        "y.txt": "lamp, sofa",
    }
    root = folder(files)
    seen = tagflow("check", root / "x.txt", "--json").json
    assert seen["captions"] == 1 and {one["code"] for one in seen["findings"]} == {
        "trigger-missing", "caption-duplicate"
    }  # fmt: skip
    assert {one["where"]["file"] for one in seen["findings"]} == {f"{root}/x.txt"}
    assert not tagflow("check", root / "0.txt", "--json").json["findings"]
    whole = {(one["code"], one["detail"]) for one in tagflow("check", root, "--json").json["findings"]}
    assert ("tag-common", "sofa in 13 of 13 captions, 100 %") in whole


def test_a_named_trigger(tagflow, folder):
    root = folder({"a.txt": "zkv, sofa", "b.txt": "sofa, lamp"})
    assert not tagflow("check", root, "--json").json["findings"]
    seen = tagflow("check", root, "--json", "--trigger", "zkv").json["findings"]
    assert [(one["where"]["file"], one["code"]) for one in seen] == [(f"{root}/b.txt", "trigger-missing")]
    assert tagflow("check", root, "--trigger", "a, b").code == 2
    assert not tagflow("check", root, "--json", "--trigger", "none").json["findings"]


@pytest.mark.parametrize("word", ["sks", "zkv", "large modern house"])
def test_the_trigger_is_that_of_a_run(tagflow, folder, word):
    root = folder({f"{at}.txt": f"{word}, tag {at}" for at in range(11)} | {"x.txt": "lamp"})
    is_trigger = word != "large modern house"
    assert ("trigger-missing" in codes(tagflow("check", root, "--json"))) == is_trigger
    taken = f"{word} (detected)" if is_trigger else "none"
    assert f"trigger: {taken}\n" in tagflow("check", root).out
    assert f"trigger     {taken}\n" in tagflow("reorder", root, "--dry-run").out
    result = tagflow("reorder", root, "--dry-run", "--trigger", word, "--json").json
    assert result["triggers"] == [{"word": word, "source": "named", "folder": None}]


def test_a_common_beginning_that_moves_is_said_with_both_ways(tagflow, folder):
    root = folder({f"{at}.txt": f"large modern house, photograph, tag {at}" for at in range(11)})
    said = tagflow("reorder", root, "--dry-run").err
    assert "11 of 11 captions begin with 'large modern house'" in said
    assert "`--trigger 'large modern house'`" in said and "`--trigger none`" in said
    assert "begin with" not in tagflow("reorder", root, "--dry-run", "--trigger", "none").err


def test_a_named_trigger_is_carried_on_from_the_audit_and_folders_have_their_own(tagflow, folder):
    root = folder({"1.txt": "zkv, sofa, photograph", "2.txt": "sofa, zkv, photograph"})
    assert "trigger     zkv (named)\n" in tagflow("reorder", root, "--trigger", "zkv").out
    assert (root / "2.txt").read_text() == "zkv, photograph, sofa"
    assert "trigger     zkv (earlier audit)\n" in tagflow("reorder", root).out
    assert "trigger: zkv (earlier audit)\n" in tagflow("check", root).out
    assert "trigger     none\n" in tagflow("reorder", root, "--trigger", "none").out
    (root / "tagflow.toml").write_text('[trigger.folders]\n"." = ["sofa"]\n')
    assert "trigger     sofa (tagflow.toml)\n" in tagflow("reorder", root).out
    assert (root / "2.txt").read_text() == "sofa, photograph, zkv"
    (root / "tagflow.toml").write_text('[trigger.folders]\n"." = "sofa"\n')
    result = tagflow("reorder", root)
    assert result.code == 3 and 'must give each folder a list of words: "10_zkva" = ["zkva"]' in result.err


@pytest.mark.parametrize(("name", "there"), [("5_a", True), ("5_a/", True), ("./5_a", True), ("5_aa", False)])
def test_a_trigger_of_a_folder_that_is_not_there_is_told(tagflow, folder, name, there):
    root = folder({"5_a/1.txt": "sofa, zkva", "tagflow.toml": f'[trigger.folders]\n"{name}" = ["zkva"]\n'})
    for command in ("check", "reorder"):
        said = tagflow(command, root)
        assert ("the trigger 'zkva' is of the folder '5_aa'" in said.err) is not there


def test_a_folders_trigger_is_carried_on_for_its_folder_alone(tagflow, folder):
    root = folder(
        {
            "5_a/1.txt": "zkva, sofa",
            "5_a/2.txt": "sofa, zkva",
            "5_b/1.txt": "zkvb, hat, zkva",
            "tagflow.toml": '[trigger.folders]\n"5_a" = ["zkva"]\n"5_b" = ["zkvb"]\n',
        }
    )
    assert tagflow("reorder", root).code == 0
    (root / "tagflow.toml").unlink()
    for command in ("reorder", "check"):
        result = tagflow(command, root)
        assert "zkva (earlier audit in 5_a), zkvb (earlier audit in 5_b)\n" in result.out
        assert "trigger-missing" not in result.out + result.err
    assert "trigger     hat (named)\n" in tagflow("reorder", root, "--trigger", "hat").out
    assert "trigger     hat (earlier audit)\n" in tagflow("reorder", root).out


def test_names_and_folders(tagflow, folder):
    names = "5_a/a.png 5_a/a.png.txt 5_a/b.png 5_a/b.txt extra/c.png extra/c.txt"
    root = folder({n: SOUND if n.endswith(".png") else f"lamp {at}" for at, n in enumerate(names.split())})
    seen = {
        (one["where"]["file"].removeprefix(f"{root}/"), one["code"])
        for one in tagflow("check", root, "--json").json["findings"]
    }
    few = {("5_a", "images-few"), ("extra", "images-few")}
    assert seen == {("5_a/a.png.txt", "caption-suffix-doubled"), ("extra", "folder-ignored")} | few
    result = tagflow("check", root / "5_a" / "a.png.txt")
    assert "caption-suffix-doubled" in result.out


def test_a_folder_whose_captions_are_all_misnamed_is_checked(tagflow, folder):
    result = tagflow("check", folder({"a.png": SOUND, "a.png.txt": "x"}))
    assert result.code == 0 and "caption-suffix-doubled" in result.out
    result = tagflow("check", folder({}, "empty"))
    assert result.code == 3 and "no captions found" in result.err


def test_a_code_is_said_once_with_its_first_places(tagflow, folder):
    root = folder({f"{at:02}.txt": f"white wall, wall, tag {at}" for at in range(30)})
    asked = ("check", root, "--ignore", "tag-common")
    lines = tagflow(*asked).out.splitlines()
    kind = kind_of("tag-implied")
    assert lines[0] == f"info: tag-implied: {kind.title} (30 times)" and lines[1] == f"  cure: {kind.cure}"
    places = [line for line in lines if line.startswith(f"    {root}/")]
    assert len(places) == 5 and places[0] == f"    {root}/00.txt:1:13: wall in white wall"
    assert lines[-3:] == [
        "    ... and 25 more (--all)", "trigger: none", "30 captions: 0 errors, 0 warnings, 30 notes"
    ]  # fmt: skip
    for more in ("--all", "--select=tag-implied"):
        lines = tagflow(*asked, more).out.splitlines()
        assert sum(line.startswith(f"    {root}/") for line in lines) == 30 and "more" not in lines[-2]


def test_many_faults_of_many_kinds_fit_a_few_screens(tagflow, folder):
    """Errors first, nothing twice, a table of counts at the end; at 60 columns no line is longer."""
    kinds = [
        "sofa,, sofa,", "<lora:a:1>", "(a cup:1.2)", "__animals__", "{a|b}", "see www.site.com", "a.png",
        "&amp; cup", "AND", "steps: 20", "\ufeffx", "a\u200bb", "x\ny", "day, night", "white wall, wall",
        "long_hair, long hair", "\n", "，", "(unclosed", "A living room stands here. It is bright and wide.",
    ]  # fmt: skip
    root = folder({f"{at:03}.txt": kinds[at % len(kinds)] + f", tag {at % 7}" for at in range(400)})
    (root / "bad.txt").write_bytes(b"\xff")
    lines = tagflow("check", root).out.splitlines()
    heads = [line for line in lines if line.startswith(("error: ", "warning: ", "info: "))]
    order = [("error", "warning", "info").index(line.partition(":")[0]) for line in heads]
    assert order == sorted(order) and len(heads) > 15 and len(lines) < 200
    assert len(set(heads)) == len(heads)
    table = [line for line in lines if "caption-not-utf8  " in line]
    assert len(table) == 1 and lines[-1].startswith("401 captions: ")


def test_at_60_columns_lines_are_wrapped(tagflow, folder, monkeypatch):
    root = folder({f"{at}.txt": "white wall, wall, <lora:a:1>,, x" for at in range(3)})
    monkeypatch.chdir(root)
    monkeypatch.setenv("COLUMNS", "60")
    lines = tagflow("check").out.splitlines()
    assert max(map(len, lines)) <= 60 and any(line.startswith("        ") for line in lines)


def test_it_writes_nothing_and_imports_little(folder, process, tree):
    root = folder({"5_zkv/a.png": SOUND, "5_zkv/a.txt": "zkv, <lora:a:1>, sofa"})
    before = tree(root)
    assert process("check", root).code == 0
    assert tree(root) == before
    script = (
        "import sys; from tagflow.cli.boundary import run; run(['check', sys.argv[1]]);"
        "heavy = ('torch', 'pandas', 'rich', 'msgspec', 'pyarrow.parquet', 'tagflow.ontology');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, root], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_file_with_a_finding_is_not_also_called_not_looked_at(tagflow, folder):
    root = folder({"a.png": SOUND, "a.txt": "x", "b.txt": "y", "prompts.txt": "z"})
    result = tagflow("check", root)
    assert "caption-without-image" in result.out and f"    {root}/b.txt\n" in result.out
    assert "b.txt" not in result.err
    assert "prompts.txt: no caption" in result.err and "prompts.txt" not in result.out


def test_a_trigger_says_no_shorter_tag(tagflow, folder):
    root = folder({"a.txt": "zkv house, house, lamp", "b.txt": "zkv house, lamp"})
    assert "house in zkv house" in tagflow("check", root).out
    assert "tag-implied" not in tagflow("check", root, "--trigger", "zkv house").out


def test_unknown_tags_are_looked_for_where_an_ontology_is_named(tagflow, folder):
    root = folder({"a.txt": "qvxy, sofa, earrings, jewelry"})
    plain = tagflow("check", root)
    assert "tag-unknown" not in plain.out and "unknown tags were not looked for" in plain.err
    named = tagflow("check", root, "--json", "--ontology", "danbooru")
    assert "not looked for" not in named.err and named.json["ontology"] == "danbooru"
    assert {"tag-unknown", "tag-implied"} <= codes(named)
    assert codes(tagflow("check", root, "--json", "--ontology", "architecture")) == {"tag-unknown"}
    (root / "tagflow.toml").write_text('ontology = "danbooru"')
    assert {"tag-unknown", "tag-implied"} <= codes(tagflow("check", root, "--json"))
    (root / "own.csv").write_text("tag,category\nqvxy,objects\n")
    overlaid = tagflow("check", root, "--json", "--overlay", root / "own.csv")
    assert "tag-unknown" not in codes(overlaid)
    assert tagflow("check", root, "--ontology", "none-such").code == 3


LEFT = {
    "a.txt": "[trigger], sofa, white wall, wall, qvxy",
    "b.txt": "Sure! Here are the tags: sofa, lamp",
    "c.txt": "sofa: 0.44, lamp: 0.99",
    "d.txt": "sofa、lamp、rug",
    "e.txt": r"rem \(re:zero\), saber (fate), ((sofa)), indoors, outdoors",
    "f.txt": "sofa, lamp\nrug",
    "g.txt": "A lamp on a rug on a rug on a rug on a rug.",
    "h.txt": "I cannot describe this image.",
    "5_x/i.png": "",
}


@pytest.mark.parametrize("ontology", ["architecture", "danbooru"])
@pytest.mark.parametrize(
    "chosen", [(), ("--ignore", "leftover-weight,tag-unknown"), ("--select", "separator-other")]
)
def test_a_reorder_reports_what_a_check_reports(tagflow, folder, ontology, chosen):
    files = {name: text for name, text in LEFT.items() if name.endswith(".txt")}
    root = folder(files)
    asked = ("--ontology", ontology, "--json", *chosen)
    checked = tagflow("check", root, *asked)
    for command in (("reorder", root, "--dry-run"), ("run", root, "--dry-run", "--encoders", "stand-in")):
        done = tagflow(*command, *asked)
        assert done.code == checked.code

        def of(result):
            seen = {(one["where"]["file"], one["code"], one["detail"]) for one in result.json["findings"]}
            return {one for one in seen if one[1] != "window-spill"}

        assert of(done) == of(checked)


def test_a_reorder_counts_all_findings_in_its_summary(tagflow, folder):
    root = folder(
        {"a.txt": "white wall, [trigger], wall", "tagflow.toml": '[check]\nignore = ["tag-implied"]'}
    )
    (said,) = [one for one in tagflow("reorder", root, "--dry-run").out.splitlines() if "findings" in one]
    assert "leftover-placeholder 1" in said and "tag-implied" not in said
    assert "tag-implied 1" in tagflow("reorder", root, "--dry-run", "--ignore", "prose").out


def test_a_folder_in_another_script_is_said_and_never_certified(tagflow, folder):
    root = folder({"a.txt": "客厅, 沙发", "b.txt": "卧室, 床", "c.txt": "sofa, lamp"})
    places = {
        (one["where"]["file"], one["detail"])
        for one in tagflow("check", root, "--json").json["findings"]
        if one["code"] == "script-unread"
    }
    assert places == {(f"{root}/a.txt", ""), (f"{root}/b.txt", ""), (str(root), "2 of 3 captions")}
    assert "2 captions are mostly in a script" in tagflow("reorder", root, "--dry-run").out


def test_a_line_that_is_no_caption_is_not_put_in_order(tagflow, folder):
    root = folder({"a.txt": "Negative prompt: lowres, photograph, sofa", "b.txt": "sofa, photograph"})
    tagflow("reorder", root)
    assert (root / "a.txt").read_text() == "Negative prompt: lowres, photograph, sofa"
    assert (root / "b.txt").read_text() == "photograph, sofa"


def test_with_clean_a_reorder_reports_what_the_files_hold(tagflow, folder):
    files = {
        "a.txt": "\ufeffsofa, wall, white wall, [sky]\r\n", "b.txt": "sofa，lamp,, sofa, [sky]",
        "c.txt": "white wall, wall, [sky], wall", "d.txt": "lamp, sofa\n",
    }  # fmt: skip
    root = folder({name: text.encode() for name, text in files.items()})
    checked, cleaned = (
        {
            (one["where"]["file"], one["code"], one["detail"])
            for one in tagflow(*command, "--json", "--ontology", "architecture").json["findings"]
        }
        for command in (("check", root), ("reorder", root, "--dry-run", "--clean"))
    )
    assert cleaned == checked and len(checked) >= 10
