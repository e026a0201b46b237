"""Trials of the checker: statements changed on one side, evidence and ledgers changed; what is accepted must be true.

`python tests/property/certificate_trials.py NUMBER [SEED]` changes so many recorded statements: z3 says of each that is
accepted whether it still holds.  A step is copied before it is changed, so that one use of it alone is another.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from random import Random

import z3
from property.certificate_examples import recorded

from verify.certificates.refute import contradictory
from verify.certificates.statement import Rejected, read

STEP = re.compile(r"\(define-fun (n\d+) \(\) (.*)\)")
NAME = re.compile(r"\b[vn]\d+\b")
BINARY = ("bvadd", "bvsub", "bvand", "bvor", "bvxor", "bvmul", "bvshl", "bvlshr")
LIMIT = 3_000_000  # Z3's resource units


def changed(text: str, random: Random) -> str | None:
    """The statement with one operation, argument, constant or slice of a copy of one step changed; None where that
    cannot be.
    """
    lines = text.splitlines()
    steps = [i for i, line in enumerate(lines) if STEP.fullmatch(line)]
    i = random.choice(steps)
    match = STEP.fullmatch(lines[i])
    assert match is not None
    other = _body(match[2], lines[:i], random)
    if other is None:
        return None
    users = [j for j in range(i + 1, len(lines)) if re.search(rf"\b{match[1]}\b", lines[j])]
    if not users:
        return None
    copy = f"n{10**6 + i}"
    user = random.choice(users)
    lines[user] = re.sub(rf"\b{match[1]}\b", copy, lines[user], count=1)
    lines.insert(i + 1, f"(define-fun {copy} () {other})")
    return "\n".join(lines) + "\n"


def _body(body: str, before: list[str], random: Random) -> str | None:
    ways = [_operation, _constant, _argument, _swapped, _bits]
    random.shuffle(ways)
    return next((found for way in ways if (found := way(body, before, random)) not in {None, body}), None)


def _operation(body: str, before: list[str], random: Random) -> str | None:
    old = next((op for op in BINARY if f"({op} " in body), None)
    if old is not None:
        return body.replace(f"({old} ", f"({random.choice(BINARY)} ")
    return body.replace("bvult", "bvslt") if "bvult" in body else None


def _constant(body: str, before: list[str], random: Random) -> str | None:
    found = re.search(r"#x([0-9a-f]+)", body)
    if found is None:
        return body.replace("#b1 #b0", "#b0 #b1") if "#b1 #b0" in body else None
    value = int(found[1], 16) ^ 1 << random.randrange(4 * len(found[1]))
    return body.replace(found[0], f"#x{value:0{len(found[1])}x}", 1)


def _argument(body: str, before: list[str], random: Random) -> str | None:
    names = NAME.findall(body)
    there = [n for line in before for n in re.findall(r"\((?:define|declare)-fun ([vn]\d+) ", line)]
    if not names or not there:
        return None
    return re.sub(rf"\b{random.choice(names)}\b", random.choice(there), body, count=1)


def _swapped(body: str, before: list[str], random: Random) -> str | None:
    return re.sub(r"([vn]\d+) ([vn]\d+)\)$", r"\2 \1)", body)


def _bits(body: str, before: list[str], random: Random) -> str | None:
    if "sign_extend" in body:
        return body.replace("sign_extend", "zero_extend")
    found = re.search(r"extract (\d+) (\d+)", body)
    if found is None or found[2] == "0":
        return None
    return body.replace(found[0], f"extract {int(found[1]) - 1} {int(found[2]) - 1}")


def trials(number: int, seed: int) -> Iterator[tuple[str, str]]:
    """What became of each change (`rejected`, `still true`, `undecided`, `WRONG`), and the changed statement."""
    random = Random(seed)
    there = sorted(s for s, (v, _) in recorded().claims.items() if v == "proved")
    while number:
        text = changed(recorded().statements[random.choice(there)], random)
        try:
            statement = read(text or "")
        except Rejected:  # of another sort: no statement
            continue
        number -= 1
        yield (_truth(text or "") if contradictory(statement) else "rejected"), text or ""


def _truth(text: str) -> str:
    solver = z3.Solver(ctx=z3.Context())
    solver.set("rlimit", LIMIT)
    solver.from_string(text)
    return {"unsat": "still true", "sat": "WRONG", "unknown": "undecided"}[str(solver.check())]


def main(number: int, seed: int) -> int:
    counts: Counter[str] = Counter()
    for said, text in trials(number, seed):
        counts[said] += 1
        if said == "WRONG":
            print(text)
    print(", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    return 1 if counts["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
