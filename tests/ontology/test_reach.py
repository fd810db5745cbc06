"""Which rules can be reached: the automata against every short shape, tried one by one."""

from __future__ import annotations

import itertools
import re

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from tagflow.ontology import reach as module
from tagflow.ontology.grammar import Rule, compile_shape
from tagflow.ontology.reach import Reach, reach

CODES = {"a": "\u4e00", "b": "\u4e01", "c": "\u4e02", "ab": "\u4e00\u4e01"}
LETTERS = "\u4e00\u4e01\u4e02"
WORDS = ["".join(word) for size in range(6) for word in itertools.product(LETTERS, repeat=size)]


def table(*shapes):
    """Rules of shapes; those without a part in [ ] have a category."""
    return [Rule(shape, compile_shape(shape, CODES), "" if "[" in shape else "x") for shape in shapes]


def states(*shapes):
    return [found.state for found in reach(table(*shapes), LETTERS)]


def grow(children):
    return st.one_of(
        st.builds("{} {}".format, children, children),
        st.builds("({} | {})".format, children, children),
        st.builds("({}){}".format, children, st.sampled_from(["*", "+", "?", "*?", "+?", "??"])),
    )


SHAPES = st.recursive(st.sampled_from(["a", "b", "c", "ab", "any", "any*", "any+", "c?"]), grow, max_leaves=6)
PARTS = st.builds("{} [{}] {}".format, SHAPES, SHAPES, SHAPES)
TABLES = st.lists(st.one_of(SHAPES, SHAPES, PARTS), min_size=1, max_size=5)


def first_witness(rules, at):
    """The shortest shape of WORDS that reaches a rule, or None."""
    for word in WORDS:
        taken = any(rule.category and rule.pattern.fullmatch(word) for rule in rules[:at])
        if rules[at].pattern.fullmatch(word) and not taken:
            return word
    return None


@settings(max_examples=examples(400), deadline=None)
@given(TABLES)
def test_the_answer_is_that_of_trying_every_short_shape(shapes):
    rules = table(*shapes)
    for at, found in enumerate(reach(rules, LETTERS)):
        word = first_witness(rules, at)
        if shapes[at] in shapes[:at] or found.state == "unreachable":
            assert found.state == "unreachable"
            assert word is None or shapes[at] in shapes[:at]
            assert set(found.above) <= set(range(at))
            assert found.witness == ""
        elif found.state == "reachable":
            assert rules[at].pattern.fullmatch(found.witness)
            assert not any(one.category and one.pattern.fullmatch(found.witness) for one in rules[:at])
            assert len(found.witness) == len(word if word is not None else found.witness)
            assert word is not None or len(found.witness) > 5
        else:
            pytest.fail("no such table is too large")


@settings(max_examples=examples(200), deadline=None)
@given(TABLES)
def test_the_rules_named_as_above_are_enough(shapes):
    rules = table(*shapes)
    for at, found in enumerate(reach(rules, LETTERS)):
        if found.state == "unreachable" and shapes[at] not in shapes[:at]:
            alone = [rules[n] for n in found.above]
            assert all(rule.category for rule in alone)
            assert reach([*alone, rules[at]], LETTERS)[-1].state == "unreachable"


def test_a_rule_below_any_is_out_of_reach():
    assert states("any*", "a b") == ["reachable", "unreachable"]
    assert states("any+", "any*") == ["reachable", "reachable"]  # of the empty phrase


def test_rules_that_together_leave_nothing_are_named():
    found = reach(table("c", "a any*", "b any*", "a b", "ab any+"), LETTERS)
    assert found[3] == Reach("unreachable", above=(1,))
    assert found[4] == Reach("unreachable", above=(1, 2))


def test_a_part_may_decline_and_so_takes_nothing_from_those_below():
    assert states("[any+] a", "b a") == ["reachable", "reachable"]
    assert states("[any+] a", "b", "[any+] a") == ["reachable", "reachable", "unreachable"]
    assert states("[any+] a", "any [a]") == ["reachable", "reachable"]


def test_only_labels_that_there_are_count():
    rules = table("a", "b", "c", "any")
    assert reach(rules, LETTERS)[3].above == (0, 1, 2)
    assert reach(rules, LETTERS + "\u4e03")[3] == Reach("reachable", "\u4e03")


def test_a_shortest_witness_is_given():
    assert reach(table("any any?", "any* c"), LETTERS)[1].witness[2:] == CODES["c"]


def test_a_search_that_grows_too_large_is_undecided(monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 3)
    assert states("a b c a b", "a b c a b any*", "a b") == ["undecided", "undecided", "reachable"]


def test_what_a_pattern_that_gives_nothing_back_may_take_is_undecided():
    greedy = Rule("greedy", re.compile(".*+"), "x")
    found = reach([greedy, *table("a", "a | b", "a | b | a")], LETTERS)
    assert [one.state for one in found] == ["undecided", "undecided", "undecided", "unreachable"]
    never = Rule("never", re.compile(".*+[\u4e00]"), "x")
    assert [one.state for one in reach([never, *table("a", "a | (a)")], LETTERS)][1:] == [
        "reachable",
        "unreachable",
    ]
