"""Findings on stderr and in a log, and the counts at the end."""

from __future__ import annotations

import pytest

from tagflow.cli.findings import counts, one_line, tell_beside
from tagflow.findings.finding import finding

FOUND = [finding("tag-duplicate", name, file=f"{at}.txt") for at, name in enumerate("abcdefghi")]


def test_beside_a_result_the_json_is_named_for_what_was_left_out(capsys):
    tell_beside(FOUND)
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("warning: tag-duplicate: ") and "(9 times)\n" in err
    assert "    0.txt: a\n" in err and err.endswith("... and 4 more (--json)\n")
    tell_beside([])
    assert capsys.readouterr().err == ""


def test_lines_fit_the_columns_and_stay_whole_in_a_pipe(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    tell_beside([finding("gpu-missing", "gpu: none found", cure="a cure of many words " * 6)])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 3 and max(map(len, lines)) <= 60
    monkeypatch.delenv("COLUMNS")
    tell_beside([finding("gpu-missing", "gpu: none found", cure="a cure of many words " * 6)])
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_one_line_for_a_log_says_all():
    line = one_line(finding("stalled", "11 minutes\x1b[2J", file="run"))
    assert line.startswith("run: error: stalled: ") and "(11 minutes\\x1b[2J)" in line and "; cure: " in line


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        ([], ["x: 0 errors, 0 warnings, 0 notes"]),
        ([finding("stalled"), finding("lr-zero")], ["x: 1 error, 1 warning, 0 notes"]),
        ([finding("stalled"), *[finding("lr-zero")] * 2], [..., "x: 1 error, 2 warnings, 0 notes"]),
    ],
)
def test_a_table_of_codes_only_where_one_was_found_more_than_once(found, lines):
    told = list(counts(found, "x"))
    assert told[-1] == lines[-1] and len(told) == len(lines)


def test_a_fault_that_is_only_a_note_here_has_no_cure():
    assert finding("xformers-missing").cure and not finding("xformers-missing", severity="info").cure
    assert finding("xformers-missing", severity="info", cure="this").cure == "this"
