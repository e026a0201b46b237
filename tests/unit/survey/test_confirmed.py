"""What the recorded corpus says of causes, and that a kernel of another version says nothing."""

from __future__ import annotations

from verify.models.schemes.registry import SCHEMES
from verify.survey.confirmed import recorded_confirmations


def test_causes_that_the_recorded_kernel_was_seen_to_have() -> None:
    """tests/corpus/fail has 9c, 0f05, d9e8, 0f1f440000, f3a4, 4190 and c5f877 of the same kernel."""
    found = recorded_confirmations(SCHEMES["linux-uprobes-6.18"])
    assert {
        "tf-in-pushed-flags", "syscall-trap-late", "x87-pointer-of-the-slot",
        "red-zone-overwritten", "interruptible-hit-each-part", "exchange-taken-for-nop", "vex-opcode-taken-for-legacy",
    } <= found.keys()  # fmt: skip
    assert found["syscall-trap-late"].startswith("opcode 0f05 on Linux 6.18.44")
    assert not {"other", "return-address-size", "enclave-left-for-the-slot"} & found.keys()


def test_of_another_version_and_of_no_kernel_nothing_is_said() -> None:
    for name in ("linux-uprobes-6.1", "linux-uprobes-3.15", "inline-step", "identity"):
        assert recorded_confirmations(SCHEMES[name]) == {}
