"""A faster dtype gives the verdict of fp32, whatever lies near a limit."""

from __future__ import annotations

import pytest

SIMS = ("sim_te1", "sim_te2", "sim_unet")


@pytest.fixture
def cluster(cluster):
    """Every second sample: enough for a sample of 16 and as many beside it."""
    for file in sorted(cluster.glob("*.txt"))[::2]:
        file.unlink()
    return cluster


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


@pytest.fixture(scope="module")
def kept():
    return []


@pytest.fixture
def exact(judged, kept):
    """What fp32 says of `cluster` where no limit is missed; asked once."""
    if not kept:
        kept.append(judged("fp32", "--min-sim", "0"))
    return kept[0]


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


def same(one, two):
    (first, rows), (second, others) = one, two
    for name in ("status", "relax_level"):
        assert {path: row[name] for path, row in rows.items()} == {p: row[name] for p, row in others.items()}
    for name in ("verdict", "kept", "relaxed"):
        assert first.json[name] == second.json[name]
    assert first.code == second.code


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
@pytest.mark.parametrize("on_low", ["relax", "write"])
@pytest.mark.parametrize("apart", [-1e-6, 1e-6])
def test_what_becomes_of_low_captions(judged, exact, dtype, on_low, apart):
    """Both limits at once, the mean's in the middle of what relaxing can reach: the same levels."""
    values = sorted(row["sim_te2"] for row in changed(exact[1]).values())
    mean = min(exact[0].json["sim_te1_mean"], exact[0].json["sim_te2_mean"])
    options = ("--min-sim-each", values[5] + apart, "--min-sim", mean + 0.01 + apart, "--on-low", on_low)
    options = tuple(map(str, options))
    same(judged("fp32", *options), judged(dtype, *options))


@pytest.fixture
def long_ones(cluster):
    """Only captions over 75 tokens, for which `sim_unet` is judged, too; all else is taken away."""
    for file in cluster.glob("*.txt"):
        file.unlink()
    head = ", ".join(f"wall number {number}" for number in range(24))
    for number in range(12):
        (cluster / f"{number:02}.txt").write_text(f"{head}, lamp, photograph, sofa {number}, oak floor, room")


@pytest.mark.parametrize("at", range(0, 12, 3))
def test_a_limit_at_what_the_unet_sees(long_ones, judged, at):
    _, rows = judged("fp32", "--min-sim", "0")
    values = sorted(row["sim_unet"] for row in changed(rows).values())
    assert len(values) == 12 and min(row["tokens"] for row in rows.values()) > 75
    for limit in (values[at] - 1e-6, values[at] + 1e-6):
        options = ("--min-sim", "0", "--min-sim-each", str(limit))
        same(judged("fp32", *options), judged("bf16", *options))


def test_copies_measure_nothing_new(cluster, judged):
    """One caption twenty times and another thrice: the sample holds both, not copies of one."""
    for file in cluster.glob("*.txt"):
        file.unlink()
    texts = ("sofa, photograph", "lamp, oak floor, night, photograph, bedroom, red wall, cozy")
    for number in range(23):
        (cluster / f"{number:02}.txt").write_text(texts[number >= 20])
    _, rows = judged("bf16", "--min-sim", "0")
    assert {row["rewritten"] for row in rows.values() if row["sim_dtype"] == "fp32"} == {
        row["rewritten"] for row in rows.values()
    }


def test_validate_and_a_failure_keep_the_measured_error(tagflow, cluster, checkpoint, exact):
    options = ("--encoders", checkpoint, "--device", "cpu", "--dtype", "bf16", "--min-sim", "0")
    assert tagflow("run", cluster, *options).code == 0
    lowest = min(row["sim_te1"] for row in changed(exact[1]).values())
    result = tagflow("validate", cluster, *options, "--min-sim-each", lowest + 0.05, "--json")
    assert result.json["verdict"] == "fail" and result.json["sim_error"] > 0


@pytest.mark.parametrize("sim", ["sim_te1", "sim_te2"])
@pytest.mark.parametrize("at", range(0, 28, 7))
def test_a_limit_at_a_captions_own_similarity(judged, exact, sim, at):
    """Just above and just below what fp32 gives: much closer than bf16 can tell."""
    values = sorted(row[sim] for row in changed(exact[1]).values())
    for limit in (values[at] - 1e-6, values[at] + 1e-6):
        options = ("--min-sim", "0", "--min-sim-each", str(limit))
        same(judged("fp32", *options), judged("bf16", *options))


@pytest.mark.parametrize("apart", [-1e-6, 1e-6, -1e-4, 1e-4, 0.05])
def test_a_limit_at_the_mean(judged, exact, apart):
    mean = min(exact[0].json["sim_te1_mean"], exact[0].json["sim_te2_mean"])
    one, two = (judged(dtype, "--min-sim", str(mean + apart)) for dtype in ("fp32", "bf16"))
    assert two[0].json["verdict"] == one[0].json["verdict"] == ("fail" if apart > 0 else "pass")
    again = [row["sim_dtype"] for row in changed(two[1]).values()].count("fp32")
    assert (again == 16) == (abs(apart) == 0.05)  # only what it takes
    assert abs(apart) > 1e-5 or again == len(changed(two[1]))
