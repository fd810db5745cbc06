"""All cases of the rules of `train check`, gathered from the files of their themes: see rule_cases."""

from __future__ import annotations

import reading_cases
import rule_cases
from habit_cases import CASES_OF_HABITS
from late_cases import CASES_OF_LATE_ENDS
from network_cases import CASES_OF_NETWORKS

CASES = [
    *rule_cases.CASES, *reading_cases.CASES_OF_READING, *CASES_OF_NETWORKS, *CASES_OF_HABITS,
    *CASES_OF_LATE_ENDS,
]  # fmt: skip
READ = [*rule_cases.READ, *reading_cases.READ_MORE]
