"""A faster dtype gives the verdict of fp32, whatever lies near a limit."""

from __future__ import annotations

import pytest

SIMS = ("sim_te1", "sim_te2", "sim_unet")


@pytest.fixture
def judged(tagflow, cluster, checkpoint, audited, tmp_path):
    """`judged(dtype, ...)`: the result of a run and its rows, the captions left as they are."""
    runs = []

    def run(dtype, *options):
        out = tmp_path / f"out-{len(runs)}"
        runs.append(out)
        options = ("--encoders", checkpoint, "--device", "cpu", "--dtype", dtype, *options)
        result = tagflow("run", cluster, *options, "--out", out, "--json")
        return result, audited(out)

    return run


@pytest.fixture
def exact(judged):
    """What fp32 says where no limit is missed."""
    return judged("fp32", "--min-sim", "0")


def changed(rows):
    return {path: row for path, row in rows.items() if row["sim_dtype"]}


def test_a_run_says_in_which_dtype_and_how_far_off(judged, exact):
    rough, rows = judged("bf16", "--min-sim", "0")
    assert rough.json["dtype"] == "bf16" and rough.json["verdict"] == exact[0].json["verdict"] == "pass"
    dtypes = [row["sim_dtype"] for row in changed(rows).values()]
    assert dtypes.count("fp32") == 16 and dtypes.count("bf16") == len(dtypes) - 16 > 0
    furthest = max(abs(row[sim] - exact[1][path][sim]) for path, row in changed(rows).items() for sim in SIMS)
    assert 0 < furthest <= 4 * rough.json["sim_error"] < 0.01
    assert exact[0].json["sim_error"] is None


@pytest.mark.parametrize("sim", ["sim_te1", "sim_te2"])
@pytest.mark.parametrize("at", range(0, 60, 7))
def test_a_limit_at_a_captions_own_similarity(judged, exact, sim, at):
    """Just above and just below what fp32 gives: much closer than bf16 can tell."""
    values = sorted(row[sim] for row in changed(exact[1]).values())
    for limit in (values[at] - 1e-6, values[at] + 1e-6):
        options = ("--min-sim", "0", "--min-sim-each", str(limit))
        (one, expected), (two, found) = judged("fp32", *options), judged("bf16", *options)
        assert {p: r["status"] for p, r in found.items()} == {p: r["status"] for p, r in expected.items()}
        assert (one.code, one.json["verdict"], one.json["kept"]) == (
            two.code,
            two.json["verdict"],
            two.json["kept"],
        )


@pytest.mark.parametrize("apart", [-1e-6, 1e-6, -1e-4, 1e-4, 0.05])
def test_a_limit_at_the_mean(judged, exact, apart):
    mean = min(exact[0].json["sim_te1_mean"], exact[0].json["sim_te2_mean"])
    one, two = (judged(dtype, "--min-sim", str(mean + apart)) for dtype in ("fp32", "bf16"))
    assert two[0].json["verdict"] == one[0].json["verdict"] == ("fail" if apart > 0 else "pass")
    again = [row["sim_dtype"] for row in changed(two[1]).values()].count("fp32")
    assert (again == 16) == (abs(apart) == 0.05)  # only what it takes
    assert abs(apart) > 1e-5 or again == len(changed(two[1]))
