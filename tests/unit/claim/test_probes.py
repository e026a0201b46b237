"""Bytes that are no instruction, and yet run on when probed: the rule says what the theorem says."""

from random import Random

import pytest

from verify.claim.obligations import Builder
from verify.claim.probes import probe
from verify.claim.undefined import undefined_runs_on
from verify.judge.encoding import Judge
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.scheme import Refuse
from verify.models.x86.isa.decode import UNDEFINED
from verify.models.x86.isa.forms import Cpu
from verify.survey.encodings import row_of

HEADS = {b"\xc5": 1, b"\xc4": 2, b"\x62": 3, b"\x8f": 2, b"\x0f": 0, b"": 0}  # and how many random bytes behind each
EACH = 24


def undefined(scheme_name: str, seed: int) -> list[bytes]:
    """Random bytes that no continuation makes an instruction and that the scheme accepts."""
    random, found = Random(seed), list[bytes]()
    while len(found) < EACH:
        head = random.choice(list(HEADS))
        data = head + random.randbytes(HEADS[head] + 10)
        p = probe(data, SCHEMES[scheme_name], Cpu.AMD)
        if p.decoded == UNDEFINED and not isinstance(p.plan, Refuse):
            found.append(data)
    return found


@pytest.mark.parametrize("name", ["linux-uprobes-6.18", "linux-uprobes-3.15", "gdb-displaced-13", "inline-step"])
def test_what_is_undefined_and_runs_on_is_what_the_theorem_refutes(name):
    scheme = SCHEMES[name]
    for data in undefined(name, 9):
        p = probe(data, scheme, Cpu.AMD)
        goals = Builder(ASSUMPTIONS).built(p).goals
        assert undefined_runs_on(p) == (goals["fault"].value == 0), data.hex()


@pytest.mark.parametrize(("text", "reason"), [
    ("c5e1713500000000", "undefined opcode, runs on when probed"),  # group 12 in memory, taken for jno
    ("0f04", "undefined opcode"), ("06", "undefined opcode"), ("c5e17135", "truncated"),  # stepped, refused, unknown
])  # fmt: skip
def test_a_line_of_classify_says_so(text, reason):
    row = row_of(Judge(SCHEMES["linux-uprobes-6.18"]), "any")(bytes.fromhex(text))
    assert (row.verdict, row.reason) == ("invalid", reason)
