"""The emulator's effects, from the facts and the manual: conditions, the trampoline's stores."""

from itertools import product

import pytest

from verify.claim.conditions import verification_condition
from verify.claim.probes import probe
from verify.models.schemes.emulation import condition_holds, trampoline_stores
from verify.models.schemes.registry import SCHEMES
from verify.models.x86.environment import Environment
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import symbolic_state
from verify.terms import const, var
from verify.terms.evaluation import evaluate

FLAGS = ("cf", "pf", "zf", "sf", "of")
HOLDS = {  # SDM vol. 1, table B-1, by the even codes; an odd code is the negation of the one before
    0x0: lambda cf, pf, zf, sf, of: of,
    0x2: lambda cf, pf, zf, sf, of: cf,
    0x4: lambda cf, pf, zf, sf, of: zf,
    0x6: lambda cf, pf, zf, sf, of: cf or zf,
    0x8: lambda cf, pf, zf, sf, of: sf,
    0xA: lambda cf, pf, zf, sf, of: pf,
    0xC: lambda cf, pf, zf, sf, of: sf != of,
    0xE: lambda cf, pf, zf, sf, of: zf or sf != of,
}


@pytest.mark.parametrize("code", range(16))
def test_the_emulator_takes_a_jump_where_the_manual_does(code):
    term = condition_holds(code, symbolic_state(var("origin", 64)))
    for values in product((0, 1), repeat=5):
        env = dict(zip(FLAGS, values, strict=True))
        expected = bool(HOLDS[code & ~1](*values)) != bool(code & 1)
        assert bool(evaluate((term,), env, Environment())[0]) == expected, env


def test_the_trampoline_pushes_return_address_rcx_r11_rax():
    """Facts, section 7: push rcx; push r11; push rax, behind the call's own return address."""
    setup = verification_condition(probe(bytes.fromhex("0f1f440000"), SCHEMES["linux-uprobes-6.18"], Cpu.AMD)).setup
    stores = trampoline_stores(setup, symbolic_state(setup.origin))
    registers = (0xA0, 0xC1, 0, 0, 0x8000, 0, 0, 0, 0, 0, 0, 0xB2, 0, 0, 0, 0)  # rax, rcx, rsp, r11
    env = {"gprs": registers, "origin": 0x401000, "length": 5}
    found = evaluate([t for a in stores for t in (a.address, a.value)], env, Environment())
    pairs = list(zip(found[::2], found[1::2], strict=True))
    assert pairs == [(0x7FF8, 0x401005), (0x7FF0, 0xC1), (0x7FE8, 0xB2), (0x7FE0, 0xA0)]
    assert all((a.kind, a.size, a.condition) == ("w", 8, const(1, 1)) for a in stores)
