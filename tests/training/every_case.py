"""All cases of the rules of `train check`, gathered from the files of their themes: see rule_cases."""

from __future__ import annotations

import reading_cases
import rule_cases
from habit_cases import CASES_OF_HABITS
from late_cases import CASES_OF_LATE_ENDS
from network_cases import CASES_OF_NETWORKS
from optimizer_cases import TABLE

CASES_OF_OPTIMIZERS = [rule_cases.case(*row) for row in TABLE]
CASES = [
    *(*rule_cases.CASES, *reading_cases.CASES_OF_READING, *CASES_OF_NETWORKS),
    *(*CASES_OF_HABITS, *CASES_OF_OPTIMIZERS, *CASES_OF_LATE_ENDS),
]
READ = [*rule_cases.READ, *reading_cases.READ_MORE]
