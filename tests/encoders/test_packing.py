"""Where windows lie: every place has its row, equal beginnings have one, padding is never read."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tagflow.encoders.packing import EOS, STEP, pack
from tagflow.encoders.pair import Line

IDS = st.sampled_from([1, 2, EOS])
WINDOWS = st.lists(st.lists(IDS, min_size=1, max_size=20).map(tuple), min_size=1, max_size=4)
LINES = st.lists(
    st.builds(
        lambda windows, tags: Line(tuple(windows), tuple(tags)),
        WINDOWS,
        st.lists(st.lists(st.integers(0, 18), max_size=4).map(tuple), max_size=3),
    ),
    min_size=1,
    max_size=5,
)


def beginnings(packed):
    """The token ids up to each row, read back from what attention is given."""
    found = {}
    for windows, places, length in packed.calls():
        for one in packed.spread[places].view(windows.stop - windows.start, length).tolist():
            for at, row in enumerate(one):
                if row not in found:
                    found[row] = (
                        [*found[one[at - 1]], packed.ids[row].item()] if at else [packed.ids[row].item()]
                    )
    return found


@given(LINES)
def test_each_beginning_has_one_row(lines):
    packed = pack(lines, torch.device("cpu"))
    windows = [window for line in lines for window in line.windows]
    wanted = {window[: end + 1] for window in windows for end in range(len(window))}
    found = beginnings(packed)
    assert sorted(map(tuple, found.values())) == sorted(wanted) and len(packed.ids) == len(wanted)
    assert [len(found[row]) - 1 for row in range(len(found))] == packed.positions.tolist()


@given(LINES)
def test_what_is_read_is_what_was_asked_for(lines):
    packed = pack(lines, torch.device("cpu"))
    found = beginnings(packed)
    sets = np.split(packed.sets.numpy(), packed.offsets.tolist()[1:])
    asked = [[line.windows[n][: i + 1] for n, i in places] for line in lines for places in line.places]
    assert len(packed.offsets) == len(asked)
    if asked:
        assert [[tuple(found[row]) for row in rows] for rows in sets] == asked
    first = packed.first.tolist()
    for line, place in zip(lines, first, strict=True):
        window = line.windows[0]
        end = window.index(EOS) if EOS in window else 0
        assert packed.eos[place] == end and tuple(found[int(packed.eos_rows[place])]) == window[: end + 1]


@given(LINES)
def test_attention_reads_no_padding_back(lines):
    """`back` names for each row a real place; lengths of one call differ by less than a step."""
    packed = pack(lines, torch.device("cpu"))
    assert torch.equal(packed.spread[packed.back], torch.arange(len(packed.ids)))
    starts = {}
    for windows, places, length in packed.calls():
        for number in range(windows.stop - windows.start):
            starts[places.start + number * length] = length
    for row, place in enumerate(packed.back.tolist()):
        start = max(one for one in starts if one <= place)
        assert place - start == packed.positions[row]
    longest = max(len(window) for line in lines for window in line.windows)
    assert all(length % STEP == 0 or length == longest for _, _, length in packed.calls())
