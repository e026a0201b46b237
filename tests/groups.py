"""How tests are spread over processes: what is slow to make and shared by tests is made in one of them only.

Tests of a group run in the process that takes the group, the largest groups first; every other test is a group of its
own.  Without pytest-xdist, and with another `--dist` than the usual one, nothing changes.
"""

from __future__ import annotations

from typing import Final

GROUPS: Final = {  # file -> group; what its tests share
    "tests/test_corpus.py": "corpus of encodings",  # a judge a scheme
    "tests/test_layers.py": "sources",  # syntax trees
    "tests/test_wall_time.py": "wall time",
    "tests/live/test_kernel.py": "registration corpus",  # corpus_sample
    "tests/live/test_kernel_corpus.py": "registration corpus",
    "tests/live/test_kernel_scheme.py": "registration corpus",
    "tests/live/test_kernel_kinds.py": "kinds of states",  # what a judge is shown
    "tests/mutants/test_scheme_mutants.py": "mutants of schemes",  # judgements of mutants
    "tests/property/test_bits.py": "terms",  # random terms with their values
    "tests/property/test_resume.py": "resumed survey",  # the survey that was not interrupted
    "tests/property/test_rules.py": "rules",  # widths in use
    "tests/property/test_verdict_order.py": "order",  # verdicts of each encoding alone
    "tests/unit/concurrency/protocols/test_protocol_verdicts.py": "explored protocols",
    "tests/unit/concurrency/unbounded/test_unbounded_verdicts.py": "any number",  # proofs of variants
    "tests/unit/test_other_machines.py": "another machine",  # one process that takes its machine for another
}


def group(nodeid: str) -> str:
    """The group of a test: its own name where it shares nothing."""
    return GROUPS.get(nodeid.partition("::")[0], nodeid)
