"""A relaxed text is no stepping stone: at other limits it is measured against the text before it."""

from __future__ import annotations

import pyarrow.parquet as pq


def test_a_lower_limit_after_relaxing_is_met_by_the_text_first_seen(tagflow, cluster, checkpoint, tmp_path):
    run = ("run", cluster, "--encoders", checkpoint, "--min-sim", "0.5")
    assert tagflow(*run, "--min-sim-each", "0.9", "--on-low", "relax").code == 0
    assert tagflow(*run, "--min-sim-each", "0.85").code == 0
    tagflow("validate", cluster, "--encoders", checkpoint, "--min-sim", "1", "--min-sim-each", "1")
    audit = pq.read_table(cluster / "tagflow-audit.parquet").to_pylist()
    sims = [min(row["sim_te1"], row["sim_te2"]) for row in audit if row["sim_te1"] is not None]
    assert min(sims) >= 0.85
