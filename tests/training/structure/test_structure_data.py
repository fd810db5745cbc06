"""The data folder of a run: what lies in it, what is refused, and that a later start sees every change."""

from __future__ import annotations

import errno
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hostile import CLIP

from tagflow.audit.file import current_audit
from tagflow.cli.boundary import run
from tagflow.errors import TrainerError, UsageProblem
from tagflow.training.run_folder import PlanFile, PlannedStructure
from tagflow.training.sd_scripts.captions import read_caption, take_apart
from tagflow.training.structure.render import changed, render_data, safe_name, write_rendered
from tagflow.training.structure.structure import handling, layout

FILES = {
    "10_house/a.txt": "zkv house, sofa, photograph, window", "10_house/a.png": "a-png",
    "10_house/a.jpg": "a-jpg", "10_house/küche 2.txt": "zkv house, 40,000 books, elegant\n",
    "10_house/küche 2.PNG": "k", "10_house/alone.png": "x", "5_tall/b.txt": "zkv house ||| lamp, sofa",
    "5_tall/b.webp": "b", "5_tall/notes.txt": "not a caption", "top.txt": "A room is bright. It is calm.",
    "top.jpeg": "t",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An audited dataset of three folders; `zkv house` is its trigger."""
    root = tmp_path_factory.mktemp("made") / "data"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    assert run(["reorder", str(root), "--trigger", "zkv house", "--ignore", "image-broken"]) == 0
    return root


@pytest.fixture
def dataset(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "data"))


@pytest.fixture
def render(dataset, tmp_path):
    def call(structure, out="run/data", **more):
        (tmp_path / out).parent.mkdir(exist_ok=True)
        return render_data(dataset, current_audit(dataset), structure, tmp_path / out, **more)

    return call


def test_the_separator_in_every_folder(render, dataset, tree, tmp_path):
    before = {path: seen[:2] for path, seen in tree(dataset).items()}
    told = []
    found = render("separator", tokenizer=CLIP, progress=lambda done, total: told.append((done, total)))
    run = tmp_path / "run" / "data"
    assert [one.folder for one in found.subsets] == [run / "01_data", run / "02_10_house", run / "03_5_tall"]
    assert [one.source for one in found.subsets] == [dataset, dataset / "10_house", dataset / "5_tall"]
    house = found.subsets[1]
    assert house.images == ("a.jpg", "a.png", "küche 2.PNG") and house.captions == ("a.txt", "küche 2.txt")
    assert (house.folder / "a.txt").read_text() == "zkv house, photograph ||| sofa, window\n"
    assert (house.folder / "küche 2.txt").read_text("utf-8") == "zkv house, elegant ||| 40;;;000 books\n"
    assert (run / "01_data" / "top.txt").read_text() == "A room is bright. It is calm. |||\n"
    assert found.reasons == {"comma-inside": 1, "own-separator": 1, "prose": 1}
    assert found.uncaptioned == ("10_house/alone.png",) and not (house.folder / "alone.png").exists()
    assert found.leading == ("meta", "quality", "style") and found.counted
    assert told == [(at, 9) for at in range(1, 10)]
    assert {path: seen[:2] for path, seen in tree(dataset).items()} == before
    assert not list(run.parent.glob("*.part"))


def test_images_are_links_and_cost_nothing(render, dataset):
    found = render("groups")
    image = found.subsets[1].folder / "a.png"
    assert image.samefile(dataset / "10_house" / "a.png") and not image.is_symlink()
    assert (found.linked, found.copied, found.bytes) == (5, 0, 0)
    assert not found.counted and found.leading == ()


def test_images_are_copied_where_the_disk_refuses_links(render, dataset, monkeypatch):
    def refuse(self, target):
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    found = render("groups")
    image = found.subsets[1].folder / "a.png"
    assert image.read_text() == "a-png" and not image.samefile(dataset / "10_house" / "a.png")
    assert (found.linked, found.copied, found.bytes) == (0, 5, len("a-png a-jpg k b t".replace(" ", "")))


def test_a_linked_image_of_the_dataset_is_followed(render, dataset, tmp_path):
    real = (dataset / "5_tall" / "b.webp").rename(tmp_path / "far.webp")
    (dataset / "5_tall" / "b.webp").symlink_to(real)
    image = render("separator").subsets[2].folder / "b.webp"
    assert image.read_text() == "b" and not image.is_symlink()


def test_none_uses_the_dataset_itself(render, dataset, tmp_path):
    found = render("none")
    assert found.folder is None and not (tmp_path / "run" / "data").exists()
    assert [one.folder for one in found.subsets] == [dataset, dataset / "10_house", dataset / "5_tall"]
    assert found.subsets[1].images == ("a.jpg", "a.png", "alone.png", "küche 2.PNG")
    assert found.reasons == {"separator-in-prompt": 1} and found.digests == {}
    with pytest.raises(UsageProblem, match="renders nothing"):
        write_rendered(found, tmp_path / "texts")


@pytest.mark.parametrize("structure", ["none", "separator", "groups"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda root: (root / "10_house" / "a.txt").write_text("zkv house, sofa, lamp"),
        lambda root: (root / "10_house" / "a.txt").unlink(),
        lambda root: (root / "10_house" / "alone.txt").write_text("sofa"),
        lambda root: (root / "10_house" / "a.txt").write_bytes(b"\xff\xfe"),
    ],
)
def test_captions_that_are_not_the_audited_ones_are_refused(render, dataset, tmp_path, structure, spoil):
    spoil(dataset)
    with pytest.raises(TrainerError, match=r"10_house/a(lone)?\.txt") as refusal:
        render(structure)
    assert "tagflow run" in refusal.value.cure and not (tmp_path / "run" / "data").exists()


def test_folders_that_would_mix_are_refused(render, dataset, tmp_path):
    for out in ("data/run", "data", "."):
        with pytest.raises(UsageProblem, match="dataset's folder"):
            render("groups", out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(UsageProblem, match="not an empty folder"):
        render("groups", "full")
    (tmp_path / "new").mkdir()
    assert render("groups", "new").linked == 5


def test_without_images_there_is_nothing_to_train(folder, tagflow, tmp_path):
    root = folder({"a.txt": "sofa"}, "texts")
    tagflow("reorder", root)
    with pytest.raises(TrainerError, match="no images"):
        render_data(root, current_audit(root), "groups", tmp_path / "out")


def test_a_rendering_that_fails_leaves_nothing(render, tmp_path, monkeypatch):
    def full(*names):
        raise OSError(errno.ENOSPC, "No space left on device", "x.png")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "hardlink_to", full)
        patch.setattr(shutil, "copy2", full)
        with pytest.raises(TrainerError, match="No space left"):
            render("groups")
    assert list((tmp_path / "run").iterdir()) == []
    (tmp_path / "run" / "data.part").mkdir()  # as a killed one leaves it
    assert render("groups").linked == 5 and len(list((tmp_path / "run").iterdir())) == 1


def test_the_leading_categories_can_be_chosen(render):
    found = render("separator", leading=("furniture",))
    line = read_caption((found.subsets[1].folder / "a.txt").read_text())
    assert take_apart(line, handling("separator")).fixed == ["zkv house", "sofa"]
    with pytest.raises(UsageProblem, match="furnitur") as refusal:
        render("separator", "other/data", leading=("furnitur",))
    assert refusal.value.cure == "did you mean furniture?"


def test_the_layout_follows_the_ontology_of_the_audit(dataset):
    audit = current_audit(dataset)
    options = replace(audit.meta.options, ontology="danbooru", keep_first=2, detected_triggers=("Ohwx_Man",))
    audit = replace(audit, meta=replace(audit.meta, options=options))
    found = layout("separator", audit, wildcards=True)
    assert found.leading == ("count", "character", "series") and found.category["window"] == "architectural"
    assert found.triggers == {"zkv house", "ohwx man"} and found.keep_first == 2 and found.wildcards
    assert layout("groups", audit).leading == ()


def test_captions_alone_are_written_on_request(render, dataset, tmp_path):
    found = render("separator")
    written = write_rendered(found, tmp_path / "texts")
    assert sorted(path.relative_to(tmp_path / "texts").as_posix() for path in written) == [
        "10_house/a.txt", "10_house/küche 2.txt", "5_tall/b.txt", "top.txt",
    ]  # fmt: skip
    assert (tmp_path / "texts" / "top.txt").read_bytes() == (found.subsets[0].folder / "top.txt").read_bytes()
    for wrong in (dataset / "new", dataset, tmp_path / "texts", found.folder / "new"):
        with pytest.raises(UsageProblem):
            write_rendered(found, wrong)


def seen(run, kind="separator"):
    """What has changed since, by the list that was kept; `kind`: the structure of the plan."""
    return list(changed(run, PlanFile(structure=PlannedStructure(kind=kind))))


def test_every_later_change_is_seen(render, tmp_path):
    run, found = tmp_path / "run", render("separator")
    assert seen(run) == []
    (found.subsets[0].folder / "top.txt").write_text("sofa")
    (found.subsets[1].folder / "a.txt").unlink()
    (found.subsets[2].folder / "b.webp").unlink()
    assert [fault.code for fault in seen(run)] == [
        "rendered-caption-changed", "rendered-caption-missing", "rendered-image-missing",
    ]  # fmt: skip
    assert all(str(run) in fault.detail for fault in seen(run))
    (found.subsets[2].folder / "new.txt").write_text("sofa")
    (found.subsets[2].folder / "new.png").write_bytes(b"")
    assert [fault.code for fault in seen(run)][3:] == ["rendered-foreign"] * 2


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"schema": "other/1"}', '{"schema": "tagflow.rendered/1"}',
     '{"schema": "tagflow.rendered/1", "structure": "groups", "images": [7], "captions": {}}',
     '{"schema": "tagflow.rendered/2", "structure": "groups", "images": [], "captions": {}}'],
)  # fmt: skip
def test_a_damaged_list_is_a_fault(tmp_path, text):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rendered.json").write_text(text)
    assert [fault.code for fault in seen(tmp_path)] == ["rendered-caption-changed"]


def test_a_missing_list_is_a_fault_where_the_plan_rendered(tmp_path):
    for kind, codes in (("none", []), ("groups", ["rendered-caption-missing"])):
        assert [fault.code for fault in seen(tmp_path, kind)] == codes


def test_two_names_that_the_disk_of_the_run_takes_for_one_played_by_a_mock(render, dataset, monkeypatch):
    if (dataset / "10_house" / "A.PNG").exists():
        pytest.skip("this disk does not tell upper and lower case apart, so no dataset can hold both names")
    (dataset / "10_house" / "a.PNG").write_text("A")

    def exists(self):
        names = [one.name.lower() for one in self.parent.iterdir()] if self.parent.is_dir() else []
        return self.name.lower() in names

    monkeypatch.setattr(Path, "exists", exists)
    with pytest.raises(TrainerError, match=r"a\.(png|PNG): .*upper and lower case"):
        render("separator")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        (".", "data"), ("10_house", "10_house"), ("a/b", "a-b"), ('x:"y?', "x--y-"), ("küche…", "küche…"),
        ("dots. .", "dots"), ("x" * 99, "x" * 40), ("con", "con"), ("\x01", "-"), (". .", "data"),
    ],
)  # fmt: skip
def test_folder_names_that_every_file_system_takes(name, safe, tmp_path):
    assert safe_name(name, tmp_path / "data") == safe
