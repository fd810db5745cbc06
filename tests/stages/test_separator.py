"""A named keep_tokens_separator: what stands before it stays, whatever the mark, and nothing is lost."""

from __future__ import annotations

from collections import Counter

import pytest
from hostile import CAPTIONS, ONTOLOGY, parsed, reordered
from hypothesis import given
from hypothesis import strategies as st

from tagflow.captions.clean import tidied
from tagflow.captions.grammar import line_spans, parse
from tagflow.findings.finding import Finding
from tagflow.schema import add, batch, rows
from tagflow.stages.classify import Classify
from tagflow.stages.parse import parse_captions
from tagflow.stages.prove import prove
from tagflow.stages.reorder import Reorder
from tagflow.training.sd_scripts.captions import Handling, take_apart

MARKS = ("##", "###", "&&&", "|||", "@@", " KEEP ", "<keep>", "--", "$", "（固定）")
MARKED = st.tuples(CAPTIONS, st.sampled_from(["", " ", ", "]), st.sampled_from(MARKS), CAPTIONS)


def lines(text: str) -> list[str]:
    return [text[begin:end] for begin, end in line_spans(text)]


@given(MARKED, st.booleans())
def test_what_stands_before_it_stays_and_nothing_is_lost(
    parts: tuple[str, str, str, str], clean: bool
) -> None:
    before, gap, mark, behind = parts
    text = f"{before}{gap}{mark}{gap}{behind}"
    row = reordered(text, clean=clean, separator=mark)
    source, after = row["source"], row["rewritten"]
    assert Counter(parse(after, separator=mark).texts()) == Counter(parse(source, separator=mark).texts())
    how = Handling(keep_tokens_separator=mark)
    for was, line in zip(lines(source), lines(after), strict=True):
        assert line.count(mark) == was.count(mark)
        if mark in was:
            assert line.partition(mark)[0].strip() == was.partition(mark)[0].strip()
            assert take_apart(line, how).fixed == take_apart(was, how).fixed
    again = reordered(after, clean=clean, separator=mark)
    assert (again["rewritten"], again["moved"]) == (after, 0)


@given(MARKED, st.booleans())
def test_the_proof_knows_it(parts: tuple[str, str, str, str], clean: bool) -> None:
    before, gap, mark, behind = parts
    text = f"{before}{gap}{mark}{gap}{behind}"
    table = batch(
        path=["a.txt"], text=[text], original=[text], selected=[True], relax_level=[None], findings=[[]],
        details=[[]],
    )  # fmt: skip
    table = parse_captions(table, clean=clean, separator=mark)
    table = Reorder(ONTOLOGY, separator=mark)(Classify(ONTOLOGY)(table))
    table = add(table, findings=[[]], details=[[]])
    assert rows(prove(table, tidied=clean, separators=(mark,)), "findings") == [[]]


@pytest.mark.parametrize(
    ("text", "mark", "after"),
    [
        ("zkv, sofa, ##, lamp, photograph", "##", "zkv, sofa, ##, photograph, lamp"),
        ("zkv, sofa ## lamp, photograph", "##", "zkv, sofa ## photograph, lamp"),
        ("zkv, sofa## lamp, photograph", "##", "zkv, sofa## photograph, lamp"),
        ("zkv sofa##lamp,photograph", "##", "zkv sofa##photograph, lamp"),
        (
            "zkv, sofa &&& lamp, photograph &&& rug, style",
            "&&&",
            "zkv, sofa &&& photograph, lamp &&& rug, style",
        ),
        ("sofa, photograph", "##", "photograph, sofa"),
        ("sofa ## lamp, photograph\nlamp, photograph", "##", "sofa ## photograph, lamp\nphotograph, lamp"),
        # Unnamed, a mark is text; `|||` is known all the same.
        ("zkv, sofa ## lamp, photograph", None, "photograph, sofa ## lamp, zkv"),
        ("sofa ||| lamp, photograph", None, "sofa ||| photograph, lamp"),
        # The trainer looks for it anywhere; a group that it would tear keeps the line as it is.
        ("(sofa ## lamp:1.2), photograph", "##", "(sofa ## lamp:1.2), photograph"),
        # What stands before a sentence that begins behind the mark is none of the sentence.
        ("zkv, sofa ## The room is dark and cosy.", "##", "zkv, sofa ## The room is dark and cosy."),
    ],
)
def test_where_it_parts(text: str, mark: str | None, after: str) -> None:
    assert reordered(text, separator=mark)["rewritten"] == after


@pytest.mark.parametrize(
    ("text", "mark", "after"),
    [
        ("zkv,, sofa, ##, lamp, lamp,", "##", "zkv, sofa, ##, lamp"),
        ("zkv ## zkv, sofa", "##", "zkv ## sofa"),
        ("zkv，sofa ## lamp，", "##", "zkv, sofa ## lamp"),
    ],
)
def test_clean_leaves_it(text: str, mark: str, after: str) -> None:
    made = tidied(parse(text, separator=mark), mark).text
    assert made == after and tidied(parse(made, separator=mark), mark).text == made


def test_a_third_one_is_text_for_the_trainer() -> None:
    found = parse("a ## b ## c ## d", separator="##").findings
    assert [one.code for one in found if isinstance(one, Finding)] == ["separator-extra"]
    assert rows(parsed(["a ## b ## c"], separator="##"), "findings") == [[]]
