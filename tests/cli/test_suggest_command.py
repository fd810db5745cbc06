"""`tagflow ontology suggest`: proposals to look at, and an overlay written with what is accepted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tagflow.files import exchange
from tagflow.files.read import sha256
from tagflow.ontology import Ontology

pytest.importorskip("torch", reason="the `encoders` extra is not installed")
STAND_IN = ("--encoders", "stand-in")
ARCHITECTURE = Path(__file__).parents[2] / "ontology" / "architecture"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The default ontology with 20 terms a category: all of them are encoded before the first proposal."""
    root = Path(shutil.copytree(ARCHITECTURE, tmp_path_factory.mktemp("ontology") / "architecture"))
    for file in (root / "lexicon").glob("*.csv"):
        head, *rows = file.read_text(encoding="utf-8").splitlines()
        kept = {*rows[:: max(1, len(rows) // 20)], *(row for row in rows if row.split(",")[0] == "sofa")}
        kept.update({row.rpartition(",")[2]: row for row in rows}.values())  # no role is left without a word
        file.write_text("\n".join([head, *sorted(kept)]) + "\n", encoding="utf-8")
    return root


@pytest.fixture
def captions(folder):
    return folder({
        "a.txt": "sofa, zzqx, White_Walls, (Qqv_Lamp, sofa:1.2)",
        "b.txt": "sofa, ZZQX, zzqv kkv, (vvxq, wwqz:1.1)",
        "c.txt": "zzqx, Vx=qz",
    })  # fmt: skip


@pytest.fixture
def suggest(tagflow, captions, small, tmp_path):
    """`suggest(...)`: the command over the captions, with an overlay that is not there yet."""

    def call(*args, overlay=tmp_path / "my.csv", ontology=small):
        return tagflow("ontology", "suggest", captions, "--overlay", overlay, "--ontology", ontology, *args)

    return call


def test_the_table_has_the_most_frequent_first_and_nothing_is_written(suggest, captions, tree, tmp_path):
    before = tree(tmp_path)
    result = suggest(*STAND_IN)
    assert result.code == 0
    head, *lines = result.out.splitlines()
    assert head.split() == ["tag", "occurrences", "category", "confidence", "nearest"]
    assert [line.split("  ")[0].strip() for line in lines] == ["zzqx", "vvxq", "vx=qz", "wwqz", "zzqv kkv"]
    assert lines[0].split()[1] == "3" and lines[0].count("(") == 3
    assert "untrained" in result.err and "--accept" in result.err
    assert tree(tmp_path) == before


def test_json_is_one_object(suggest, small):
    found = suggest(*STAND_IN, "--json").json
    assert found["schema"] == "tagflow.suggest/1"
    assert (found["ontology"], found["ontology_hash"]) == ("architecture", Ontology.load(str(small)).hash)
    assert found["encoders"]["source"] == "stand-in" and found["accepted"] == found["triggers"] == []
    assert found["unknown"] == len(found["suggestions"]) == 5
    first = found["suggestions"][0]
    assert (first["tag"], first["occurrences"]) == ("zzqx", 3) and 0 <= first["confidence"] <= 1
    assert first["category"] in Ontology.load().categories and len(first["nearest"]) == 8
    assert set(first["nearest"][0]) == {"term", "category", "similarity"}
    assert suggest(*STAND_IN, "--json").json == found


def test_a_checkpoint_and_the_three_ways(tagflow, captions, small, checkpoint, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    asked = ("ontology", "suggest", captions, "--ontology", small, "--json", "--device", "cpu")
    result = tagflow(*asked)
    assert result.code == 3 and "--encoders" in result.err and "TAGFLOW_ENCODERS" in result.err
    (tmp_path / "tagflow.toml").write_text('encoders = "stand-in"')
    assert tagflow(*asked).json["encoders"]["source"] == "stand-in"
    monkeypatch.setenv("TAGFLOW_ENCODERS", str(checkpoint))
    result = tagflow(*asked)
    assert result.json["encoders"]["source"] == str(checkpoint) and "untrained" not in result.err
    assert tagflow(*asked, *STAND_IN).json["encoders"]["source"] == "stand-in"


def test_a_sentence_transformers_folder(suggest, tmp_path):
    pytest.importorskip("sentence_transformers", reason="the `suggest` extra is not installed")
    from sentence_model import make_sentence_model

    model = make_sentence_model(tmp_path / "st")
    result = suggest("--encoders", model, "--device", "cpu", "--json")
    assert result.code == 0 and result.json["encoders"]["source"] == str(model)
    assert len(result.json["encoders"]["fingerprint"]) == 64 and "untrained" not in result.err


def test_the_default_folder_is_the_one_of_the_settings(tagflow, captions, small, monkeypatch):
    asked = ("ontology", "suggest", "--ontology", small, *STAND_IN, "--json")
    monkeypatch.chdir(captions)
    here = tagflow(*asked).json
    monkeypatch.chdir(captions.parent)
    (captions.parent / "tagflow.toml").write_text('dir = "data"')
    assert tagflow(*asked).json == here


def test_no_unknown_tags_need_no_encoder(tagflow, folder):
    root = folder({"a.txt": "sofa, white walls"}, "known")
    result = tagflow("ontology", "suggest", root)
    assert (result.code, result.out) == (0, f"{root}: no unknown tags\n")
    found = tagflow("ontology", "suggest", root, "--json").json
    assert found["suggestions"] == [] and found["encoders"] is None and found["unknown"] == 0


def test_pairs_need_no_encoder_and_explain_sees_them(suggest, tagflow, captions, texts, tmp_path):
    before, overlay = texts(captions), tmp_path / "my.csv"
    result = suggest("--accept", "ZZQX=lighting", "--accept", "vx=qz=meta", "--json")
    assert result.code == 0
    rows = [{"tag": "zzqx", "category": "lighting"}, {"tag": "vx=qz", "category": "meta"}]
    assert result.json["accepted"] == rows and result.json["encoders"] is None
    assert "written to" in result.err and "zzqx,lighting" in result.err
    assert overlay.read_text() == "tag,category\nvx=qz,meta\nzzqx,lighting\n"
    assert tagflow("explain", "two Zzqx", "--overlay", overlay).out.startswith("two Zzqx: lighting")
    ontology = Ontology.load("architecture", overlay)
    assert ontology.classify("zzqx").path == ontology.classify("vx=qz").path == ("overlay",)
    assert texts(captions) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "my.csv"]


def test_a_tag_by_itself_takes_the_proposed_category(suggest, tmp_path):
    proposed = {one["tag"]: one["category"] for one in suggest(*STAND_IN, "--json").json["suggestions"]}
    result = suggest(*STAND_IN, "--accept", "zzqv_kkv", "--accept", "vx=qz")
    assert result.code == 0
    rows = sorted(f"{tag},{proposed[tag]}" for tag in ("zzqv kkv", "vx=qz"))
    assert (tmp_path / "my.csv").read_text().splitlines() == ["tag,category", *rows]


def test_above_a_confidence_and_the_users_word_first(suggest, tmp_path):
    found = suggest(*STAND_IN, "--json").json["suggestions"]
    middle = sorted(one["confidence"] for one in found)[2]
    clear = {one["tag"]: one["category"] for one in found if one["confidence"] > middle}
    named = next(iter(clear))
    result = suggest(*STAND_IN, "--accept-above", middle, "--accept", f"{named}=meta", "--json")
    written = {one["tag"]: one["category"] for one in result.json["accepted"]}
    assert written == {**clear, named: "meta"} and 0 < len(written) < len(found)
    assert (tmp_path / "my.csv").read_text().count("\n") == 1 + len(written)


def test_nothing_above_writes_nothing(suggest, tmp_path):
    result = suggest(*STAND_IN, "--accept-above", "1")
    assert result.code == 0 and "nothing to write" in result.err and not (tmp_path / "my.csv").exists()


def test_rows_that_are_there_stay_and_a_second_run_changes_nothing(suggest, tmp_path):
    overlay = tmp_path / "my.csv"
    overlay.write_text("tag,category\r\nzzqv kkv,style\r\n")
    accept = ("--accept", "zzqx=lighting")
    assert suggest(*accept).code == 0
    after = overlay.read_text()
    assert after == "tag,category\nzzqv kkv,style\nzzqx,lighting\n"
    again = suggest(*accept)
    assert again.code == 0 and "is in lighting already" in again.err and overlay.read_text() == after
    assert suggest("--accept", "zzqx").code == 0
    assert suggest("--accept", "zzqx=style").code == 0
    assert "zzqx,style" in overlay.read_text() and "zzqx,lighting" not in overlay.read_text()


def test_a_link_stays_a_link_and_a_mode_a_mode(suggest, tmp_path):
    real = tmp_path / "real.csv"
    real.write_text("tag,category\n")
    real.chmod(0o640)
    (tmp_path / "my.csv").symlink_to(real)
    assert suggest("--accept", "zzqx=lighting").code == 0
    assert (tmp_path / "my.csv").is_symlink() and "zzqx" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--accept", "zzqx=nowhere"), "no category 'nowhere'"),
        (("--accept", "absent=style"), "'absent' does not occur"),
        (("--accept", "absent"), "its unknown tags are: zzqx, vvxq, vx=qz"),
        (("--accept", "sofa=style"), "it is in furniture"),
        (("--accept", "zzqx=style", "--accept", "zzqx=meta"), "accepted twice"),
        (("--accept-above", "2"), "not in the range"),
        (("--accept-above", "nan"), "not in the range"),
        (("--device", "tpu", *STAND_IN), "no device"),
        (("--accept", ""), "does not occur"),
    ],
)
def test_wrong_usage(suggest, args, said, tmp_path):
    result = suggest(*args)
    assert (result.code, result.out) == (2, "") and said in result.err
    assert not (tmp_path / "my.csv").exists()


def test_no_overlay_names_the_line_for_the_settings(tagflow, captions, tmp_path):
    result = tagflow("ontology", "suggest", captions, "--accept", "zzqx=lighting")
    assert result.code == 2 and 'overlay = "my-tags.csv"' in result.err
    (captions / "tagflow.toml").write_text('overlay = "my-tags.csv"')
    assert tagflow("ontology", "suggest", captions, "--accept", "zzqx=lighting").code == 0
    assert (captions / "my-tags.csv").read_text() == "tag,category\nzzqx,lighting\n"


def test_an_overlay_in_no_folder_is_refused_before_anything_is_encoded(suggest, tmp_path):
    result = suggest("--accept-above", "0.5", overlay=tmp_path / "gone" / "my.csv")
    assert result.code == 2 and "no such folder" in result.err


def test_a_faulty_overlay_is_left_alone(suggest, tmp_path):
    overlay = tmp_path / "my.csv"
    overlay.write_text("tag,category\nzzqx,nowhere\n")
    result = suggest("--accept", "zzqx=lighting")
    assert result.code == 3 and "my.csv:2" in result.err
    assert overlay.read_text() == "tag,category\nzzqx,nowhere\n"


def test_triggers_are_left_out(tagflow, folder, small):
    root = folder({f"{at}.txt": f"ohwx, sofa, zzqx {at}" for at in range(10)}, "with trigger")
    asked = ("ontology", "suggest", root, "--ontology", small, *STAND_IN, "--json")
    result = tagflow(*asked)
    assert result.json["triggers"] == ["ohwx"] and "'ohwx' is the trigger" in result.err
    assert "ohwx" not in {one["tag"] for one in result.json["suggestions"]}
    result = tagflow("ontology", "suggest", root, "--accept", "ohwx=meta", "--overlay", root / "my.csv")
    assert result.code == 2 and "is the trigger" in result.err
    (root / "tagflow.toml").write_text("[trigger]\ndetect = false\n")
    result = tagflow(*asked)
    assert result.json["triggers"] == [] and result.json["suggestions"][0]["tag"] == "ohwx"
    (root / "tagflow.toml").write_text('[trigger]\nwords = ["Zzqx_3"]\n')
    assert tagflow(*asked).json["triggers"] == ["zzqx 3"]


def test_another_ontology_has_its_own_categories(suggest):
    found = suggest(*STAND_IN, "--json", ontology="danbooru").json
    homes = {one["category"] for one in found["suggestions"]}
    assert found["ontology"] == "danbooru" and homes <= set(Ontology.load("danbooru").categories)


def test_what_goes_into_a_pipe_is_the_result_alone(process, captions, small):
    asked = ("ontology", "suggest", captions, "--ontology", small, *STAND_IN)
    done = process(*asked)
    assert done.code == 0 and "\x1b" not in done.out + done.err
    assert len(done.out.splitlines()) == 6
    done = process(*asked, "--json")
    assert done.json["unknown"] == 5


def test_help_needs_no_torch(process):
    done = process("ontology", "suggest", "--help")
    assert done.code == 0 and "--accept-above" in done.out


def test_an_overlay_that_cannot_be_written(suggest, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", str(tmp_path / "my.csv"))

    (tmp_path / "my.csv").write_text("tag,category\n")
    monkeypatch.setattr("tagflow.files.replace.os.fsync", full)
    result = suggest("--accept", "zzqx=lighting")
    assert result.code == 3 and "my.csv" in result.err
    assert (tmp_path / "my.csv").read_text() == "tag,category\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "my.csv"]


@pytest.mark.parametrize("where", ["../mine.csv", "ABSOLUTE", "link/mine.csv", "sub/../../mine.csv"])
def test_settings_that_come_with_a_dataset_name_no_overlay_outside_it(
    tagflow, captions, tmp_path, monkeypatch, where
):
    outside = tmp_path / "outside"
    outside.mkdir()
    (captions / "link").symlink_to(outside)
    (captions / "sub").mkdir()
    named = str(outside / "mine.csv") if where == "ABSOLUTE" else where
    (captions / "tagflow.toml").write_text(f'overlay = "{named}"')
    accept = ("--accept", "zzqx=lighting")
    monkeypatch.chdir(captions)
    for folder in ((captions,), (".",), ()):
        result = tagflow("ontology", "suggest", *folder, *accept)
        assert result.code == 2 and "mine.csv" in result.err and "--overlay" in result.err
    assert not list(tmp_path.rglob("mine.csv"))
    asked = tagflow("ontology", "suggest", captions, *accept, "--overlay", outside / "mine.csv")
    assert asked.code == 0 and (outside / "mine.csv").is_file()
    assert tagflow("ontology", "suggest", captions, "--accept", "vvxq=lighting").code == 2


def test_settings_of_the_user_may_name_one_anywhere(tagflow, captions, tmp_path, monkeypatch):
    (tmp_path / "tagflow.toml").write_text('overlay = "mine.csv"')
    monkeypatch.chdir(tmp_path)
    assert tagflow("ontology", "suggest", captions, "--accept", "zzqx=lighting").code == 0
    assert "zzqx,lighting" in (tmp_path / "mine.csv").read_text()


def test_what_a_kill_left_of_an_overlay_goes_and_an_edit_stays(suggest, tmp_path):
    overlay, token, old = tmp_path / "my.csv", "0123456789abcdef", b"tag,category\nold,style\n"
    overlay.write_bytes(b"tag,category\n")
    start = sha256(old)[:32]
    gone = [
        tmp_path / f".my.csv.{token}.new", tmp_path / f".my.csv.{token}.{start}.old",
        tmp_path / f".my.csv.{token}.{start}.old.link",
    ]  # fmt: skip
    edit, other = tmp_path / f".my.csv.{token[::-1]}.{start}.old", tmp_path / ".my.csv.new"
    for file in gone:
        file.write_bytes(old)
    for file in (edit, other):
        file.write_bytes(b"tag,category\nhand,style\n")
    result = suggest("--accept", "zzqx=lighting")
    assert result.code == 0 and [file.exists() for file in (*gone, edit, other)] == [False] * 3 + [True] * 2
    assert edit.name in result.err


@pytest.mark.parametrize("links", [True, False])
def test_an_overlay_that_is_saved_while_rows_are_added_keeps_what_was_saved(
    suggest, tmp_path, monkeypatch, links
):
    overlay, edit = tmp_path / "my.csv", b"tag,category\nhand,style\n"
    overlay.write_bytes(b"tag,category\n")
    swap = exchange.swap

    def late(new, target):
        monkeypatch.setattr("tagflow.files.replace.swap", swap)
        target.write_bytes(edit)
        return swap(new, target)

    if links:
        monkeypatch.setattr(exchange, "exchange", lambda *_: False)
    monkeypatch.setattr("tagflow.files.replace.swap", late)
    result = suggest("--accept", "zzqx=lighting")
    assert result.code == 3 and "my.csv" in result.err and overlay.read_bytes() == edit
    assert suggest("--accept", "zzqx=lighting").code == 0
    assert overlay.read_bytes() == edit + b"zzqx,lighting\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data", "my.csv"]
