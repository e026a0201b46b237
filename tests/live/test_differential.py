"""The differential run finds what is wrong in semantics and in read sets, and finds nothing in those that stand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from verify import terms
from verify.claim import probes
from verify.cli import status
from verify.live.differential import masks, prediction
from verify.live.differential.comparison import Comparison
from verify.live.differential.errata import OFFSET_FAULT, skip_reason
from verify.live.differential.run import FormTrials, Settings, component_of, judged, survey
from verify.live.differential.states import Aim, trials
from verify.live.executor.executor import Executor
from verify.live.executor.layout import DATA
from verify.models.schemes.identity import SCHEME
from verify.models.x86.isa.forms import Cpu, all_forms, form
from verify.models.x86.semantics import dispatch, masking, operands, routed, string, system, x87_state
from verify.models.x86.semantics.run import RAX, RBX, RCX, RDX, RSI, Run
from verify.terms import Term

pytestmark = pytest.mark.live
SETTINGS = Settings(states=128)
REFUSALS = ("code_selector.refuses", "stack_selector.refuses", "selector_fault", "data_selector.refuses")
EDGES = Settings(states=512, encodings=64)  # an encoding of a rip-relative form has one address


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    prediction.forget_predictions()
    yield
    prediction.forget_predictions()


def found(result: FormTrials) -> set[tuple[str, str]]:
    return {(m.check, component_of(m.component)) for m in result.mismatches}


def altered(monkeypatch: pytest.MonkeyPatch, mnemonic: str, after: object) -> None:
    """Makes the mnemonic's exact semantics end with `after(run)`."""
    table = dict(dispatch.exact())
    before = table[mnemonic]

    def semantics(run: Run) -> None:
        before(run)
        after(run)  # type: ignore[operator]

    table[mnemonic] = semantics
    monkeypatch.setattr(dispatch, "exact", lambda: table)


def replaced(monkeypatch: pytest.MonkeyPatch, mnemonic: str, semantics: Callable[[Run], None]) -> None:
    """Gives the mnemonic other semantics."""
    table = {**dispatch.exact(), mnemonic: semantics}
    monkeypatch.setattr(dispatch, "exact", lambda: table)


def without_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routed instructions read no component of the corrections; what they write stays."""
    real, components = routed._inputs, routed._components

    def inputs(run: Run) -> tuple[Term, ...]:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(routed, "_components", lambda run, names: [])
            return real(run)

    assert components is routed._components
    monkeypatch.setattr(routed, "_inputs", inputs)


@pytest.mark.parametrize(("name", "component"), [
    ("ADDPS_XMM_XMMM128/reg", "vectors"),
    pytest.param("VEX_VSQRTPD_YMM_YMMM256/reg", "vectors", marks=pytest.mark.needs("avx")),
    ("CVTPI2PS_XMM_MMM64/reg", "vectors"),
    ("CVTPS2PI_MM_XMMM64/reg", "x87"),
])  # fmt: skip
def test_a_component_that_is_written_and_read_is_varied(
    executor: Executor, monkeypatch: pytest.MonkeyPatch, name: str, component: str
) -> None:
    """The rounding mode of MXCSR decides the result, though the same instruction writes MXCSR's flags."""
    assert not found(judged(executor, form(name), SETTINGS))
    prediction.forget_predictions()
    without_components(monkeypatch)
    assert ("unread", component) in found(judged(executor, form(name), SETTINGS))


@pytest.mark.needs("misalignsse")
def test_that_misaligned_mode_lifts_the_check_is_seen(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not found(judged(executor, form("ADDPS_XMM_XMMM128/mem"), EDGES))
    prediction.forget_predictions()
    monkeypatch.setattr(masking, "unless_misaligned_mode", lambda run, misaligned: misaligned)
    assert ("predicted", "fault") in found(judged(executor, form("ADDPS_XMM_XMMM128/mem"), EDGES))


def environment_alone(run: Run) -> None:
    """FNSTENV that leaves every exception as it was."""
    image = terms.uf("x87_environment", 8 * run.insn.opcode.memory_size, *x87_state.environment(run))
    operands.write(run, 0, image)


@pytest.mark.parametrize("name", ["FNSTENV_M28BYTE/mem", "FNSTENV_M14BYTE/mem"])
def test_that_fnstenv_masks_exceptions_is_seen(
    executor: Executor, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert not found(judged(executor, form(name), SETTINGS))
    replaced(monkeypatch, "fnstenv", environment_alone)
    prediction.forget_predictions()
    assert ("predicted", "x87") in found(judged(executor, form(name), SETTINGS))


def test_that_fnsave_initialises_is_seen(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(x87_state, "initialise", lambda run: None)
    assert ("predicted", "x87") in found(judged(executor, form("FNSAVE_M108BYTE/mem"), SETTINGS))


def pkru(checked: tuple[Term, ...], value: Term) -> Callable[[Run], None]:
    """WRPKRU that checks these registers and writes that one."""

    def semantics(run: Run) -> None:
        for register in checked:
            system.fault_unless_zero(run, run.gpr(register, 32))
        run.set("opaque", terms.zext(run.gpr(value, 32), 64))

    return semantics


@pytest.mark.needs("ospke")
@pytest.mark.parametrize(("wrong", "finding"), [
    (pkru((), RAX), ("predicted", "fault")),
    (pkru((RCX,), RAX), ("predicted", "fault")),
    (pkru((RDX,), RAX), ("predicted", "fault")),
    (pkru((RCX, RDX), RBX), ("predicted", "opaque")),
    (pkru((RCX, RDX, RSI), RAX), ("predicted", "fault")),
])  # fmt: skip
def test_what_wrpkru_checks_and_writes_is_seen(
    executor: Executor, monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Run], None], finding: tuple[str, str]
) -> None:
    assert not found(judged(executor, form("WRPKRU/none"), SETTINGS))
    replaced(monkeypatch, "wrpkru", wrong)
    prediction.forget_predictions()
    assert finding in found(judged(executor, form("WRPKRU/none"), SETTINGS))


@pytest.mark.needs("ospke")
def test_what_rdpkru_reads_is_seen(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not found(judged(executor, form("RDPKRU/none"), SETTINGS))
    altered(monkeypatch, "rdpkru", lambda run: run.set_gpr(RAX, terms.const(0, 32)))
    prediction.forget_predictions()
    assert ("predicted", "gprs") in found(judged(executor, form("RDPKRU/none"), SETTINGS))


def test_that_x87_stores_nothing_with_an_unmasked_exception_is_seen(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory keeps what it had: said to be a function of the stack alone, the store is found out."""
    settings = Settings(states=512, encodings=16)
    assert not found(judged(executor, form("FST_M32FP/mem"), settings))
    real = terms.load
    monkeypatch.setattr(x87_state.terms, "load", lambda memory, at, size: terms.const(0, 8 * size))
    prediction.forget_predictions()
    result = judged(executor, form("FST_M32FP/mem"), settings)
    assert real is not terms.load and ("unread", "memory") in found(result)


def test_that_mmx_looks_for_a_waiting_exception_first_is_seen(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(states=512, encodings=32)
    assert not found(judged(executor, form("MOVD_RM32_MM/mem"), settings))
    monkeypatch.setattr(routed, "_looks_at_x87", lambda run: False)
    prediction.forget_predictions()
    assert ("predicted", "fault") in found(judged(executor, form("MOVD_RM32_MM/mem"), settings))


@pytest.mark.parametrize(("data", "name"), [("e1fe", "LOOPE_REL8_64_RCX/none"), ("42e1fd", "LOOPE_REL8_64_RCX/none"),
                                            ("ebfe", "JMP_REL8_64/none"), ("74fe", "JE_REL8_64/none")])  # fmt: skip
def test_a_branch_to_itself_is_not_judged_by_where_it_ends(data: str, name: str, executor: Executor) -> None:
    encoding, rng = probes.probe(bytes.fromhex(data), SCHEME, Cpu.AMD), np.random.default_rng(0)
    batch = trials(executor, [(encoding, Aim(DATA.address, 0))], form(name), 16, rng)
    batch.states["rflags"] = 0x246
    batch.states["gprs"][:, 1] = 0x20
    result = Comparison(executor, batch).all()
    assert (result.states, result.findings) == (16, [])


@pytest.mark.needs("fsgsbase")
@pytest.mark.parametrize(("rax", "is_beyond"), [(0xFFFF_8000_0000_0000, True), (0xFFFF_8000_0000_1001, False)])
def test_that_an_offset_which_is_not_canonical_faults_is_a_known_difference(
    executor: Executor, rax: int, is_beyond: bool
) -> None:
    """gs:[rax - 1], whose linear address is canonical: #GP on AMD processors, #PF in the semantics."""
    encoding, rng = probes.probe(bytes.fromhex("658b40ff"), SCHEME, Cpu.AMD), np.random.default_rng(0)
    batch = trials(executor, [(encoding, Aim(DATA.address, 0))], form("MOV_R32_RM32/mem"), 16, rng)
    batch.states["gprs"][:, 0], batch.states["gs_base"] = rax, 0x7FFF_FFFF
    findings = {(f.component, f.seen) for f in Comparison(executor, batch).all().findings}
    differs = is_beyond and executor.capabilities.vendor == "AuthenticAMD"
    assert findings == ({(OFFSET_FAULT, "0xd")} if differs else set())


def test_a_wrong_result_is_found_and_shrunk(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    altered(monkeypatch, "add", lambda run: run.set_gpr(terms.const(2, 4), terms.const(1, 64)))
    result = judged(executor, form("ADD_RM64_R64/reg"), SETTINGS)
    (mismatch,) = [m for m in result.mismatches if m.component == "gprs2"]
    assert mismatch.expected == "0x1"
    assert "zmm" not in mismatch.state and "st0" not in mismatch.state


@pytest.mark.parametrize(
    ("name", "mnemonic", "flag"),
    [("ADD_RM32_R32/reg", "add", "af"), ("SHL_RM8_1/reg", "shl", "cf"), ("STD/none", "std", "df")],
)
def test_a_wrong_flag_is_found(
    executor: Executor, monkeypatch: pytest.MonkeyPatch, name: str, mnemonic: str, flag: str
) -> None:
    altered(monkeypatch, mnemonic, lambda run: run.set(flag, terms.not_(run.get(flag))))
    assert found(judged(executor, form(name), SETTINGS)) == {("predicted", flag)}


def test_a_forgotten_write_is_found(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routed, "_write_components", lambda run, inputs: None)
    assert ("predicted", "mxcsr") in found(judged(executor, form("ADDPS_XMM_XMMM128/reg"), SETTINGS))


@pytest.mark.needs("avx")
def test_a_wrong_access_size_is_found_at_a_page_edge(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routed, "_memory_size", lambda run: 8)
    assert ("predicted", "fault") in found(judged(executor, form("VEX_VPMADDWD_XMM_XMM_XMMM128/rip"), EDGES))


def test_a_forgotten_fault_is_found(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    altered(monkeypatch, "movaps", lambda run: run.faults.clear())
    result = judged(executor, form("MOVAPS_XMM_XMMM128/mem"), SETTINGS)
    assert ("predicted", "fault") in found(result)


@pytest.mark.needs("avx")
def test_a_wrong_read_set_is_found(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    real = routed._operand_inputs

    def without_second(run: Run, index: int, access: str, mask: list[Term]) -> list[Term]:
        return [] if index == 1 else real(run, index, access, mask)

    assert not found(judged(executor, form("VEX_VPMADDWD_XMM_XMM_XMMM128/reg"), SETTINGS))
    prediction.forget_predictions()
    monkeypatch.setattr(routed, "_operand_inputs", without_second)
    assert found(judged(executor, form("VEX_VPMADDWD_XMM_XMM_XMMM128/reg"), SETTINGS)) == {("unread", "vectors")}


def test_a_flag_that_is_read_but_not_declared_is_found(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_flags(run: Run) -> tuple[Term, ...]:
        return tuple(t for t in real(run) if t.sort != 1)

    real = routed._inputs
    monkeypatch.setattr(routed, "_inputs", without_flags)
    monkeypatch.setattr(dispatch, "exact", lambda: {})
    assert ("unread", "gprs") in found(judged(executor, form("ADC_RM64_R64/reg"), SETTINGS))


@pytest.mark.parametrize(
    ("name", "what", "wrong", "component"),
    [("EVEX_VADDPS_YMM_K1Z_YMM_YMMM256B32/reg", "registers", (64, 256), "vectors"),
     ("EVEX_VPADDB_YMM_K1Z_YMM_YMMM256/mem", "memory", "not suppressed", "memory")],
)  # fmt: skip
@pytest.mark.needs("avx512vl", "avx512bw")
def test_elements_that_a_mask_leaves_out_are_judged(
    executor: Executor, name: str, what: str, wrong: object, component: str
) -> None:
    """With the rule that the processor keeps to nothing is found, with another element size or no suppression it is."""
    masks.forget_hypotheses()
    assert not judged(executor, form(name), Settings(1024, 64)).mismatches
    opcode = form(name).opcode.name
    assert masks._FOUND.get((opcode, what)) in {(32, 256), 8}
    masks._FOUND[opcode, what] = wrong
    assert ("masked", component) in found(judged(executor, form(name), Settings(1024, 64)))
    masks.forget_hypotheses()


@pytest.mark.parametrize("name", ["fip", "fdp", "fop"])
def test_a_wrong_x87_pointer_is_found(executor: Executor, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    wrong = 7 if name == "fop" else 0x7777
    width = 11 if name == "fop" else 64
    altered(monkeypatch, "fld", lambda run: run.set(name, terms.const(wrong, width)))
    assert ("predicted", name) in found(judged(executor, form("FLD_M64FP/mem"), SETTINGS))


@pytest.mark.parametrize("name", ["fip", "fdp", "fop"])
def test_an_x87_pointer_that_is_not_written_is_found(
    executor: Executor, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Which the others' values tell from one that a preemption lost."""
    altered(monkeypatch, "fld", lambda run: run.set(name, getattr(run.before, name)))
    assert ("predicted", name) in found(judged(executor, form("FLD_M64FP/mem"), SETTINGS))


@pytest.mark.parametrize("left", [None, 1])
def test_x87_pointers_that_fninit_leaves_are_found(
    executor: Executor, monkeypatch: pytest.MonkeyPatch, left: int | None
) -> None:
    """A value is seen where every trial leaves 0; what was there before, where XRSTOR loaded it."""
    settings = Settings(states=192)
    assert not judged(executor, form("FNINIT/none"), settings).mismatches
    prediction.forget_predictions()

    def after(run: Run) -> None:
        for name in ("fip", "fdp", "fop"):
            old = getattr(run.before, name)
            run.set(name, old if left is None else terms.const(left, old.width))

    altered(monkeypatch, "fninit", after)
    assert {("predicted", n) for n in ("fip", "fdp")} <= found(judged(executor, form("FNINIT/none"), settings))


def test_a_trap_that_int1_does_not_raise_is_no_known_difference(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not [m for m in judged(executor, form("INT1/none"), SETTINGS).mismatches if m.explained is None]
    prediction.forget_predictions()
    replaced(monkeypatch, "int1", lambda run: None)
    wrong = [m for m in judged(executor, form("INT1/none"), SETTINGS).mismatches if m.explained is None]
    assert "trap" in {m.component for m in wrong}


def test_an_iteration_that_another_follows_leaves_ip(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    altered(monkeypatch, "stosb", lambda run: run.set("ip", run.next_ip))
    name = "STOSB_M8_AL/none"
    assert ("predicted", "ip of an iteration") in found(judged(executor, form(name), Settings(256)))


def test_mxcsr_flags_are_sticky(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A datapath that is said to set the rounding mode too is found out."""
    name, real = "ADDPS_XMM_XMMM128/reg", routed._component
    monkeypatch.setattr(routed, "_component", lambda run, *rest: terms.or_(real(run, *rest), terms.const(1 << 13, 32)))
    assert ("predicted", "mxcsr") in found(judged(executor, form(name), SETTINGS))


@pytest.mark.parametrize(
    "name", ["IRETQ/none", "IRETD/none", "RETFQ/none", "RETFD_IMM16/none", "LSS_R32_M1632/mem", "LFS_R32_M1632/mem",
             "CALL_M1632/mem", "JMP_M1632/mem", "MOV_SREG_R32M16/reg", "POPQ_FS/none"],
)  # fmt: skip
def test_selectors_are_loaded_for_real(executor: Executor, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Valid and null selectors complete, others fault; a wrong table of descriptors is found."""
    result = judged(executor, form(name), Settings(512, 16))
    assert not result.mismatches and 0 < result.completed < result.states
    prediction.forget_predictions()
    table = {**prediction.DESCRIPTORS, **dict.fromkeys(REFUSALS, lambda *arguments: False)}
    monkeypatch.setattr(prediction, "DESCRIPTORS", table)
    assert ("predicted", "fault") in found(judged(executor, form(name), Settings(512, 16)))


def test_a_repeated_string_instruction_is_followed_to_its_end(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not judged(executor, form("STOSB_M8_AL/none"), Settings(256)).mismatches
    prediction.forget_predictions()
    monkeypatch.setattr(string, "advance", lambda run, *registers, size: None)
    assert ("predicted", "gprs") in found(judged(executor, form("STOSB_M8_AL/none"), Settings(256)))


def test_dangerous_forms_are_skipped_with_a_reason(executor: Executor) -> None:
    result = judged(executor, form("SYSCALL/none"), SETTINGS)
    assert result.states == 0 and result.skipped == skip_reason(form("SYSCALL/none").opcode)


def test_forms_of_other_processors_are_skipped(executor: Executor) -> None:
    lacking = [f for f in all_forms() if executor.capabilities.absent(f.opcode.cpuid)]
    assert lacking
    for one in (lacking[0], lacking[len(lacking) // 2], lacking[-1]):
        result = judged(executor, one, SETTINGS)
        assert result.states == 0 and result.skipped is not None and result.skipped.startswith("the processor has no ")


def test_a_short_run_over_the_whole_space_finds_nothing(executor: Executor) -> None:
    forms = all_forms()[7::31]
    results = [r for _, r in survey(forms, Settings(states=24, encodings=4, seed=5))]
    assert [m for r in results for m in r.mismatches] == []
    assert sum(r.states for r in results) > 1000
    assert sum(r.completed > 0 for r in results) > 20


@pytest.mark.needs("executor")
@pytest.mark.parametrize("named", ["evex.0f38.90", "vex.0f38.92", "xop"])
def test_a_range_that_the_processor_lacks_in_part_is_no_fault(
    named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gathers have vector indices above 15 where there are that many registers; nothing is lost where there are not."""
    ended = status(["confirm", "semantics", named, "--states", "8", "--jobs", "1", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert ended == (0 if found["forms"]["executed"] else 2)
    assert found["lost"] == {} and found["complete"]
