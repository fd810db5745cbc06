"""Judge: the gate over the mean, the limit for single captions, and what is never certified."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tagflow.audit.file import Limits
from tagflow.judge.judge import Judgement, after_writing, judge, standing
from tagflow.schema import add, batch, rows


def table(*captions):
    """Captions as (text, original, rewritten, te1, te2, unet, tokens, findings)."""
    names = ("text", "original", "rewritten", "sim_te1", "sim_te2", "sim_unet", "tokens", "findings")
    columns = dict(zip(names, map(list, zip(*captions, strict=True)), strict=True))
    return batch(
        path=[f"{at}.txt" for at in range(len(captions))],
        details=[[""] * len(found) for found in columns["findings"]],
        relax_level=[None] * len(captions),
        **columns,
    )


def changed(te1, te2, unet=1.0, tokens=10, findings=()):
    return "b, a", "b, a", "a, b", te1, te2, unet, tokens, list(findings)


EQUAL = ("a", "a", "a", 1.0, 1.0, 1.0, 5, [])
STANDING = ("a, b", "b, a", "a, b", 0.5, 0.5, 0.5, 5, [])  # an uncertified reorder, nothing new to write
FAILED = (None, None, None, None, None, None, None, ["caption-not-utf8"])


def verdict(given, limits=None, *, measured=True, trained=True):
    return judge(given, limits or Limits(), measured=measured, trained=trained)


def test_the_mean_of_each_encoder_over_the_changed_captions():
    done, judged = verdict(table(changed(0.94, 0.97), changed(0.97, 0.95), EQUAL, EQUAL))
    assert judged.verdict == "pass" and judged.reasons == ()
    assert (judged.sim_te1_mean, judged.sim_te2_mean) == pytest.approx((0.955, 0.96))
    assert rows(done, "status") == ["rewritten", "rewritten", "unchanged", "unchanged"]


@pytest.mark.parametrize("low", [(0.9499, 1.0), (1.0, 0.9499), (math.nan, 1.0), (None, 1.0), (1.0, None)])
def test_one_encoder_that_misses_the_limit_or_is_unknown_fails(low):
    done, judged = verdict(table(changed(*low), EQUAL))
    assert judged.verdict == "fail" and len(judged.reasons) == 1
    assert rows(done, "status") == ["kept", "unchanged"]


def test_the_limit_itself_passes():
    assert verdict(table(changed(0.95, 0.95)))[1].verdict == "pass"


def test_where_nothing_differs_there_is_nothing_to_fail():
    judged = verdict(table(EQUAL, EQUAL))[1]
    assert judged.verdict == "pass" and judged.sim_te1_mean is judged.sim_te2_mean is None


def test_an_uncertified_reorder_that_stands_is_judged_too():
    done, judged = verdict(table(STANDING))
    assert judged.verdict == "fail" and rows(done, "status") == ["unchanged"]


def test_one_caption_below_its_limit_is_kept_and_not_in_the_mean():
    done, judged = verdict(table(changed(0.5, 1.0), changed(0.99, 0.98)), Limits(min_sim_each=0.9))
    assert judged.verdict == "pass" and judged.sim_te1_mean == pytest.approx(0.99)
    assert rows(done, "status") == ["kept", "rewritten"]
    assert rows(done, "findings") == [["similarity-low"], []]
    assert "sim_te1 0.5000 < 0.9" in rows(done, "details")[0][0]


def test_over_75_tokens_what_the_unet_is_given_counts_too():
    given = table(
        changed(1, 1, 0.5, 76), changed(1, 1, 0.5, 75), changed(1, 1, None, 76), changed(1, 1, None, 9)
    )
    done, judged = verdict(given, Limits(min_sim_each=0.9))
    assert rows(done, "status") == ["kept", "rewritten", "kept", "rewritten"] and judged.verdict == "pass"


@pytest.mark.parametrize("value", [math.nan, None])
def test_what_is_unknown_is_kept(value):
    done, _ = verdict(table(changed(value, 1.0)), Limits(min_sim_each=0.0))
    assert rows(done, "status") == ["kept"]


def test_what_is_low_may_be_written_and_is_not_certified():
    done, judged = judge(
        table(changed(0.5, 1.0), changed(0.99, 0.98)),
        Limits(min_sim=0.7, min_sim_each=0.9),
        measured=True,
        trained=True,
        write_low=True,
    )
    assert judged.verdict == "uncertified" and "1 caption was written all the same" in judged.reasons[0]
    assert rows(done, "status") == ["rewritten", "rewritten"]
    assert rows(done, "findings") == [["similarity-low"], []]


def test_on_the_last_relax_level_a_caption_is_kept_and_in_no_mean():
    given = add(table(changed(0.5, 0.5), changed(0.99, 0.98), changed(0.1, 0.1)), relax_level=[1, 7, 14])
    done, judged = verdict(given, Limits(min_sim_each=0.2))
    assert judged.verdict == "pass" and judged.sim_te1_mean == pytest.approx(0.99)
    assert rows(done, "status") == ["kept", "rewritten", "kept"]
    assert rows(done, "relax_level") == [1, 7, None]


def test_errors_in_the_data_never_pass():
    done, judged = verdict(table(changed(1.0, 1.0), FAILED, changed(1.0, 1.0, findings=["tag-lost"])))
    assert judged.verdict == "uncertified" and "caption-not-utf8, tag-lost" in judged.reasons[0]
    assert rows(done, "status") == ["rewritten", "failed", "failed"]  # what lost a tag is not written


def test_a_folder_that_the_encoders_cannot_read_never_passes():
    given = table(*(changed(0.99, 0.99) for _ in range(3)))
    for unread, said in ((1, "pass"), (2, "uncertified")):
        texts = ["客厅, 沙发" if at < unread else text for at, text in enumerate(rows(given, "text"))]
        _, judged = verdict(add(given, text=texts))
        assert judged.verdict == said and (said == "pass") == (not judged.reasons)
        assert not judged.reasons or judged.reasons[0].startswith("2 captions are mostly in a script")


def test_the_stand_in_keeps_nothing_back_and_certifies_nothing():
    done, judged = verdict(table(changed(0.1, 0.1)), Limits(min_sim_each=0.9), trained=False)
    assert judged.verdict == "uncertified" and judged.sim_te1_mean == pytest.approx(0.1)
    assert rows(done, "status") == ["rewritten"] and rows(done, "findings") == [[]]


def test_structure_alone_is_uncertified():
    given = table(changed(None, None)).drop_columns(["sim_te1", "sim_te2", "sim_unet"])
    done, judged = verdict(given, measured=False, trained=False)
    assert judged.verdict == "uncertified" and "structure" in judged.reasons[0]
    assert judged.sim_te1_mean is None and rows(done, "status") == ["rewritten"]


def test_a_file_left_alone_certifies_nothing():
    done, judged = verdict(table(changed(1.0, 1.0), changed(0.99, 0.99)))
    assert judged.verdict == "pass"
    after, late = after_writing(done, judged, {"1.txt": "caption-changed"})
    assert late == replace(judged, verdict="uncertified", reasons=("captions with errors: caption-changed",))
    assert rows(after, "status") == ["rewritten", "failed"]
    assert rows(after, "findings") == [[], ["caption-changed"]]
    assert after_writing(done, judged, {}) == (done, judged)


def test_the_errors_of_before_and_of_the_writing_are_one_reason():
    done, judged = verdict(table(changed(1.0, 1.0), FAILED), trained=False)
    _, late = after_writing(done, judged, {"0.txt": "caption-changed"})
    assert len(late.reasons) == 2 and "stand-in" in late.reasons[0]
    assert late.reasons[1] == "captions with errors: caption-changed, caption-not-utf8"


def test_a_read_only_file_is_left_alone_without_an_error():
    done, judged = verdict(table(changed(1.0, 1.0)))
    _, late = after_writing(done, judged, {"0.txt": "caption-read-only"})
    assert late.verdict == "uncertified" and len(late.reasons) == 1


def test_low_captions_that_stand_in_their_files_fail_a_validation():
    passed = Judgement("pass", (), 0.99, 0.98, 1e-4)
    assert standing(passed, 0) == passed
    failed = standing(passed, 3)
    assert failed.verdict == "fail" and "3 captions miss a limit" in failed.reasons[0]
    assert (failed.sim_te1_mean, failed.sim_te2_mean, failed.sim_error) == (0.99, 0.98, 1e-4)
    missed = Judgement("fail", ("mean similarity in te1 is 0.9, below 0.95",), 0.9, 0.98)
    assert standing(missed, 3) == missed


def test_a_caption_that_is_cut_otherwise_misses_a_limit_of_its_own():
    given = table(changed(1.0, 1.0, findings=["tokens-cut-changed"]), changed(0.99, 0.99))
    done, judged = verdict(given)
    assert rows(done, "status") == ["kept", "rewritten"] and judged.verdict == "pass"
    assert judged.sim_te1_mean == 0.99
    done, judged = judge(given, Limits(), measured=True, trained=True, write_low=True)
    assert rows(done, "status") == ["rewritten", "rewritten"] and judged.verdict == "uncertified"
    assert rows(verdict(given, measured=False)[0], "status") == ["rewritten", "rewritten"]
