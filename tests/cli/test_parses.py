"""How often a command parses a caption: the original once, what was rewritten once, and hardly ever more."""

from __future__ import annotations

import sys
import threading

import pytest

from tagflow.captions import grammar

MOST = 2.2  # calls of the parser a caption; full-width commas and tidied lines take more than two


@pytest.fixture
def parses(tagflow):
    """`parses("run", folder, ...)`: calls of the parser for each caption of the folder, in all threads."""

    def count(command, folder, *options):
        calls = 0

        def called(frame, event, _):
            nonlocal calls
            calls += event == "call" and frame.f_code is grammar.parse.__code__

        threading.setprofile(called)
        sys.setprofile(called)
        try:
            result = tagflow(command, folder, *options)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
        assert result.code == 0, result.err
        return calls / len(list(folder.glob("*.txt")))

    return count


def test_check_parses_a_caption_once(parses, cluster):
    assert parses("check", cluster) == 1


@pytest.mark.parametrize("options", [(), ("--clean",)])
def test_reorder_parses_the_original_and_what_was_rewritten(parses, cluster, options):
    assert 1.5 < parses("reorder", cluster, *options) <= MOST
    assert 1.5 < parses("reorder", cluster, *options) <= MOST  # the text is in order, the original is not


def test_run_and_validate_parse_the_original_and_what_was_rewritten(parses, few, lenient):
    assert 1.5 < parses("run", few, *lenient) <= MOST
    assert 1.5 < parses("validate", few, *lenient) <= MOST
    assert parses("run", few, *lenient) <= MOST


def test_a_long_caption_is_parsed_no_more_often(parses, tmp_path):
    """Its windows are looked at tag by tag, in both orders."""
    tags = [f"{colour} {thing}" for colour in ("white", "grey") for thing in ("wall", "sofa", "rug", "lamp")]
    (tmp_path / "a.txt").write_text(", ".join([*tags * 6, "photograph"]), encoding="utf-8")
    assert parses("reorder", tmp_path) == 2


def test_relaxing_parses_no_original_again(parses, few, lenient):
    """The original once and each order once where it is a new text: the full one, and three coarser ones."""
    hard = (*lenient, "--min-sim-each", "1", "--on-low", "relax", "--dry-run")
    assert 2 < parses("run", few, *hard) <= 1 + 4
    assert parses("reorder", few) <= MOST
    # Now the files hold the full order: that is parsed, and the original once more for what is relaxed.
    assert parses("run", few, *hard) <= 3 + 3
