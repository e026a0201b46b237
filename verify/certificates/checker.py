"""The checker: is this evidence for that statement?  `python -m verify.certificates.checker STATEMENT EVIDENCE`.

Evidence is one line.  `proved by rewriting`: the assertions contradict each other, which the checker finds out by
itself.  `refuted by` and an assignment (see `evaluate`): all assertions are 1 there.  Standard library only; nothing of
the project but the modules beside this one.  What is trusted, and why each rule is sound: RULES.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from verify.certificates.evaluate import refutes
from verify.certificates.refute import contradictory
from verify.certificates.statement import LONGEST, Rejected, read

BY_REWRITING: Final = "proved by rewriting"
REFUTED_BY: Final = "refuted by "
ACCEPTED, REJECTED, USAGE = 0, 1, 64


def verdict(statement: str, evidence: str) -> str:
    """`proved` or `refuted` where the evidence shows it.  Raises Rejected with the reason where it does not."""
    read_statement = read(statement)
    if evidence.strip() == BY_REWRITING:
        if not contradictory(read_statement):
            raise Rejected("rewriting does not lead to a contradiction")
        return "proved"
    if evidence.startswith(REFUTED_BY):
        if not refutes(read_statement, evidence.removeprefix(REFUTED_BY)):
            raise Rejected("an assertion is 0 in the assignment")
        return "refuted"
    raise Rejected(f"evidence is {BY_REWRITING!r}, or {REFUTED_BY!r} and an assignment")


def main(arguments: list[str]) -> int:
    """Status 0 accepted, 1 rejected with the reason, 64 usage and files that cannot be read."""
    if len(arguments) != 2:
        print("usage: python -m verify.certificates.checker STATEMENT EVIDENCE", file=sys.stderr)
        return USAGE
    texts = []
    try:
        for path in map(Path, arguments):
            with path.open(encoding="ascii", errors="replace") as file:
                texts.append(file.read(LONGEST + 1))
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return USAGE
    try:
        print(verdict(*texts))
    except Rejected as wrong:
        print(f"rejected: {wrong}")
        return REJECTED
    return ACCEPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
