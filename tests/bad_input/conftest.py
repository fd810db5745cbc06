"""One process that runs commands for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bad_input.worker import Worker


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    one = Worker(TAGFLOW_CACHE=str(tmp_path_factory.mktemp("cache")), HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    yield one
    one.close()
