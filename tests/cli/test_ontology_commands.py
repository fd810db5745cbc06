"""`tagflow ontology list | show | lint | coverage`."""

from __future__ import annotations

import shutil

import pytest

from tagflow.ontology import BUILT_IN, Ontology, built_in


@pytest.fixture
def captions(tmp_path):
    folder = tmp_path / "captions"
    folder.mkdir()
    (folder / "a.txt").write_text("sofa, zzqx, White_Walls", encoding="utf-8")
    (folder / "b.txt").write_text("sofa, ZZQX, qqvz, white walls", encoding="utf-8")
    (folder / "c.txt").write_text("A sentence about a room with a sofa. It is written as prose.")
    (folder / "d.txt").write_bytes(b"caf\xe9, sofa")
    return folder


def test_list_names_the_built_in_ones_and_the_chosen_one(tagflow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = tagflow("ontology", "list")
    assert result.code == 0
    assert result.out.startswith("* architecture: 14 categories, ")
    assert "  danbooru: " in result.out and "danbooru:quality-first" in result.out
    (tmp_path / "tagflow.toml").write_text('ontology = "danbooru"')
    found = tagflow("ontology", "list", "--json").json
    assert [one["name"] for one in found["ontologies"]] == built_in()
    assert [one["name"] for one in found["ontologies"] if one["chosen"]] == ["danbooru"]


def test_list_includes_a_folder_of_ones_own(tagflow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(BUILT_IN / "architecture", tmp_path / "mine")
    (tmp_path / "tagflow.toml").write_text('ontology = "mine"')
    found = tagflow("ontology", "list", "--json").json["ontologies"]
    assert [one["name"] for one in found if one["chosen"]] == [str(tmp_path / "mine")]


def test_show_has_categories_in_order_and_the_hash(tagflow):
    result = tagflow("ontology", "show")
    assert result.code == 0
    lines = result.out.splitlines()
    assert Ontology.load().hash[:12] in lines[0]
    assert [line.split()[1] for line in lines[1:15]] == list(Ontology.load().categories)


def test_show_the_rows_of_one_category(tagflow):
    result = tagflow("ontology", "show", "architecture", "--category", "lighting")
    assert {"chandelier", "natural light"} <= set(result.out.splitlines())
    found = tagflow("ontology", "show", "--category", "lighting", "--json").json
    assert [one["name"] for one in found["categories"]] == ["lighting"]
    assert "chandelier" in found["categories"][0]["terms"]


def test_show_a_profile_in_its_own_order(tagflow):
    first = tagflow("ontology", "show", "danbooru:quality-first", "--json").json
    last = tagflow("ontology", "show", "danbooru:quality-last", "--json").json
    orders = [[one["name"] for one in found["categories"]] for found in (first, last)]
    assert sorted(orders[0]) == sorted(orders[1]) and orders[0] != orders[1]
    assert orders[0].index("quality") < orders[1].index("quality")
    assert first["hash"] != last["hash"]


@pytest.mark.parametrize(
    "args", [("show", "--category", "nothing"), ("show", "danbooru", "--ontology", "architecture")]
)
def test_wrong_usage(tagflow, args):
    result = tagflow("ontology", *args)
    assert result.code == 2 and "cure" in result.err


def test_no_such_ontology(tagflow):
    for command in ("show", "lint"):
        result = tagflow("ontology", command, "nowhere")
        assert result.code == 3 and "architecture" in result.err


def test_lint_is_silent_about_the_built_in_ones(tagflow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = tagflow("ontology", "lint")
    assert (result.code, result.out) == (0, "architecture, danbooru: 0 errors, 0 warnings, 0 notes\n")


def test_lint_names_every_fault_with_its_line(tagflow, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(BUILT_IN / "architecture", mine)
    (mine / "aliases.csv").write_text("alias,term\ngray,grey\ngrey,gray\n")
    (mine / "lexicon" / "meta.csv").write_text("term,role\nsofa,\nphotograph,\n")
    result = tagflow("ontology", "lint", str(mine))
    assert result.code == 1
    lines = result.out.splitlines()
    assert sum(line.startswith("error: alias-loop: ") for line in lines) == 1
    for place in (mine / "aliases.csv", mine / "lexicon" / "meta.csv"):
        assert any(line.startswith(f"    {place}:{2 if place.stem == 'aliases' else 3}: ") for line in lines)
    told = tagflow("ontology", "lint", str(mine), "--json").json
    found = told["findings"]
    assert told["schema"] == "tagflow.ontology.lint/2" and told["ontologies"] == [str(mine)]
    assert {"alias-loop", "row-unsorted", "tag-in-two-categories"} <= {one["code"] for one in found}
    places = [one["where"] for one in found]
    assert all(one["line"] >= 1 and one["file"].startswith(str(mine)) for one in places)
    chosen = tagflow("ontology", "lint", str(mine), "--select", "alias-loop", "--json").json["findings"]
    assert {one["code"] for one in chosen} == {"alias-loop"}
    codes = {one["code"] for one in found}
    assert tagflow("ontology", "lint", str(mine), "--ignore", ",".join(codes)).code == 0


def test_coverage_counts_tags_and_occurrences(tagflow, captions):
    found = tagflow("ontology", "coverage", str(captions), "--json").json
    assert found["captions"] == {"all": 4, "untagged": 1, "unread": 1}
    assert (found["tags"], found["occurrences"]) == (4, 7)
    assert found["unknown"] == [{"tag": "zzqx", "occurrences": 2}, {"tag": "qqvz", "occurrences": 1}]
    by_name = {one["name"]: (one["tags"], one["occurrences"]) for one in found["categories"]}
    assert (by_name["furniture"], by_name["colors"], by_name["general"]) == ((1, 2), (1, 2), (0, 0))
    assert found["ontology_hash"] == Ontology.load().hash


def test_coverage_for_people(tagflow, captions):
    result = tagflow("ontology", "coverage", str(captions), "--top", "1")
    assert result.code == 0
    assert "      2  zzqx" in result.out.splitlines()
    assert "qqvz" not in result.out and "and 1 more" in result.out
    assert "not counted: 1 caption without tags, 1 that cannot be read" in result.out


def test_coverage_of_a_folder_that_is_not_there(tagflow, tmp_path):
    result = tagflow("ontology", "coverage", str(tmp_path / "gone"))
    assert result.code in (2, 3) and "gone" in result.err


@pytest.mark.parametrize("name", ["architecture", "danbooru", "danbooru:quality-first"])
def test_the_audit_has_the_hash_that_show_prints(tagflow, captions, name):
    (captions / "d.txt").unlink()
    assert tagflow("reorder", str(captions), "--ontology", name).code == 0
    audit = tagflow("audit", str(captions), "--json").json
    shown = tagflow("ontology", "show", name, "--json").json
    assert (audit["ontology"], audit["ontology_hash"]) == (name, shown["hash"])


def test_the_hashes_of_the_two_ontologies_differ(tagflow):
    names = ("architecture", "danbooru", "danbooru:quality-first")
    hashes = {tagflow("ontology", "show", name, "--json").json["hash"] for name in names}
    assert len(hashes) == 3


def test_the_overlay_is_in_the_audit(tagflow, captions, tmp_path):
    (captions / "d.txt").unlink()
    overlay = tmp_path / "my.csv"
    overlay.write_text("tag,category\nzzqx,lighting\n")
    assert tagflow("reorder", str(captions), "--overlay", str(overlay)).code == 0
    audit = tagflow("audit", str(captions), "--json").json
    assert audit["options"]["overlay"] == str(overlay)
    assert audit["ontology_hash"] == Ontology.load("architecture", overlay).hash
    unknown = {row["path"]: row["details"] for row in audit["captions"] if "tag-unknown" in row["findings"]}
    assert unknown == {"b.txt": ["qqvz"]}


CARS = {
    "ontology.toml": 'name = "cars"\nversion = "1"\nfallback = "other"\n'
    + "".join(f'[[category]]\nname = "{name}"\n' for name in ("body", "paint", "other"))
    + '[[profile]]\nname = "body-first"\norder = ["body", "paint", "other"]\n'
    + '[[profile]]\nname = "paint-first"\norder = ["paint", "body", "other"]\n',
    "rules.toml": '[groups]\nknown = "body paint"\n[[rule]]\nname = "overlay of nouns"\n'
    + 'shape = "known+ [known]"\n'
    + '[[text]]\nname = "all of it"\npattern = "(?P<part>.*)"\n',
    "lexicon/body.csv": "term,role\ncoupe,\n",
    "lexicon/paint.csv": "term,role\nred,\n",
}


def make_cars(folder):
    for name, text in CARS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_validate_keeps_to_the_ontology_of_the_audit(tagflow, captions, tmp_path):
    (captions / "d.txt").unlink()
    overlay = tmp_path / "my.csv"
    overlay.write_text("tag,category\nqqvz,attire\n")
    run = ("run", captions, "--ontology", "danbooru:quality-first", "--encoders", "stand-in")
    assert tagflow(*run, "--overlay", overlay).code == 0
    before = tagflow("audit", captions, "--json").json
    assert tagflow("validate", captions, "--encoders", "stand-in").code == 0
    after = tagflow("audit", captions, "--json").json
    keys = ("ontology", "ontology_hash")
    assert [after[key] for key in keys] == [before[key] for key in keys]
    assert after["options"]["overlay"] == before["options"]["overlay"] == str(overlay)
    overlay.write_text("tag,category\nqqvz,action\n")
    changed = tagflow("validate", captions, "--encoders", "stand-in")
    assert "warning: ontology-changed" in changed.err


def test_a_folder_of_ones_own_may_be_called_like_a_built_in_ontology(tagflow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_cars(tmp_path / "danbooru")
    assert tagflow("explain", "--ontology", "./danbooru", "coupe").out == "coupe: body (lexicon)\n"
    assert "body" not in tagflow("explain", "--ontology", "danbooru", "coupe").out
    (tmp_path / "tagflow.toml").write_text('ontology = "danbooru"')
    assert "body" not in tagflow("explain", "coupe").out


def test_an_ontology_in_a_configuration_is_relative_to_it(tagflow, tmp_path):
    captions = tmp_path / "captions"
    make_cars(captions / "cars")
    (captions / "tagflow.toml").write_text('ontology = "cars:paint-first"')
    (captions / "a.txt").write_text("coupe, red")
    found = tagflow("ontology", "coverage", captions, "--json").json
    assert found["ontology"] == "cars:paint-first"
    listed = tagflow("ontology", "list", "--json", "--config", captions / "tagflow.toml").json["ontologies"]
    (cars,) = [one for one in listed if one["chosen"]]
    assert cars["name"] == str(captions / "cars")
    assert [one["name"] for one in cars["profiles"] if one["chosen"]] == ["paint-first"]
    assert not any(profile["chosen"] for one in listed if one is not cars for profile in one["profiles"])


def test_a_rule_may_be_called_as_it_pleases_and_a_part_may_be_the_whole(tagflow, tmp_path):
    cars = make_cars(tmp_path / "cars")
    found = tagflow("explain", "--ontology", cars, "red coupes", "--json").json
    assert found["path"] == ["inflection: coupes = coupe", "overlay of nouns: coupes"]
    assert [word["text"] for word in found["words"]] == ["red", "coupes"]
    assert tagflow("explain", "--ontology", cars, "zork zork").out == "zork zork: other (unknown)\n"


def test_a_profile_that_is_not_there_is_wrong_usage(tagflow):
    assert tagflow("ontology", "show", "danbooru:nothing").code == 2
    assert tagflow("explain", "sofa", "--ontology", "").code == 2
    assert tagflow("explain", "sofa", "--overlay", "").code == 2
    assert tagflow("explain", "sofa", "--ontology", "~nobodyatall/x").code == 3


def test_show_has_a_moved_tag_in_one_category_only(tagflow, tmp_path):
    overlay = tmp_path / "my.csv"
    overlay.write_text("tag,category\nchandelier,decorative\n")
    shown = tagflow("ontology", "show", "--overlay", overlay, "--json").json["categories"]
    assert [one["name"] for one in shown if "chandelier" in one["terms"]] == ["decorative"]


def test_an_overlay_that_tagflow_toml_names_may_be_yet_to_come(tagflow, captions):
    (captions / "d.txt").unlink()
    (captions / "tagflow.toml").write_text('overlay = "mine.csv"')
    assert tagflow("ontology", "coverage", captions).code == 0
    assert tagflow("reorder", captions, "--dry-run").code == 0
    assert tagflow("explain", "sofa", "--overlay", captions / "gone.csv").code == 3


def test_an_overlay_is_linted_with_one_ontology(tagflow, tmp_path):
    overlay = tmp_path / "my.csv"
    overlay.write_text("tag,category\nsputnik,lighting\n")
    assert tagflow("ontology", "lint", "architecture", "danbooru", "--overlay", overlay).code == 2
    assert tagflow("ontology", "lint", "architecture", "architecture", "--overlay", overlay).code == 0


def test_coverage_leaves_the_trigger_out(tagflow, tmp_path):
    folder = tmp_path / "captions"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.txt").write_text("Ohwx, sofa, white walls")
    found = tagflow("ontology", "coverage", folder, "--json").json
    assert found["triggers"] == [{"tag": "Ohwx", "occurrences": 12}]
    assert found["unknown"] == []
    assert "the trigger 'Ohwx', 12 times" in tagflow("ontology", "coverage", folder).out
