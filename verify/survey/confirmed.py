"""Which causes a machine was seen to have: from what the kernel of a scheme did with a corpus, as it is recorded.

The corpus was run without a model; the cause of each of its deviating encodings is derived as a finding's is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from verify.causes.catalogue import OTHER, SYSCALL
from verify.causes.rows import of_encoding
from verify.claim.probes import probe
from verify.ledger.places import brought_directory, checkout_directory
from verify.models.schemes.scheme import Scheme
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.forms import Cpu
from verify.report.confirmations import DeviationRow, KernelSurvey
from verify.report.records import decoded
from verify.survey.causes import Confirmed

LIVE: Final = "live"
ESCAPES: Final = {"one-byte": "", "0f": "0f"}  # maps whose opcodes may be whole instructions
# A run shows consequences besides: what else goes wrong once memory, a register or control is.
TELLING: Final = (
    "memory-addresses", "memory-values", "vector", "gprs", "flags", "segment-bases", "x87", "x87-pointers", "hits",
    "next-ip", "trap", "containment", "fault",
)  # fmt: skip


def recorded_confirmations(scheme: Scheme) -> Confirmed:
    """By cause: the kernel and processor that were seen to have it, and an encoding; of other versions nothing."""
    found: dict[str, str] = {}
    for survey in _surveys():
        if scheme.live is not None and scheme.live.is_modelled(survey.kernel):
            cpu = Cpu.INTEL if "Intel" in survey.processor else Cpu.AMD
            for row in survey.deviations:
                for name in _names(bytes.fromhex(row.example), row.observables, scheme, cpu):
                    found.setdefault(name, f"{row.example} on Linux {survey.kernel}, {survey.processor}")
                for data in _late(row, scheme, cpu):
                    found.setdefault(SYSCALL.name, f"opcode {data} on Linux {survey.kernel}, {survey.processor}")
    return found


def _late(row: DeviationRow, scheme: Scheme, cpu: Cpu) -> Iterator[str]:
    """The system calls among a row's opcodes, where control was seen to go on in the slot."""
    escape = ESCAPES.get(row.map) if "containment" in row.observables else None
    for part in row.opcodes.split() if escape is not None else ():
        first, _, last = part.partition("-")
        for opcode in range(int(first, 16), int(last or first, 16) + 1):
            data = bytes.fromhex(f"{escape}{opcode:02x}")
            p = probe(data, scheme, cpu)
            whole = isinstance(p.decoded, Decoded) and p.decoded.layout.length == len(data)
            if whole and of_encoding(p, row.observables, "containment") == (SYSCALL,):
                yield data.hex()


def _surveys() -> Iterator[KernelSurvey]:
    places = dict.fromkeys(p for p in (checkout_directory(), brought_directory()) if p is not None)
    for path in (p for place in list(places)[:1] for p in sorted((place / LIVE).glob("kernel-*.json"))):
        found = _survey(path)
        if found is not None:
            yield found


def _survey(path: Path) -> KernelSurvey | None:
    """None where the file cannot be read or is something else: a remark is lost, no verdict."""
    try:
        return decoded(path.read_bytes(), KernelSurvey)
    except (OSError, ValueError):
        return None


def _names(data: bytes, observables: Sequence[str], scheme: Scheme, cpu: Cpu) -> list[str]:
    p = probe(data, scheme, cpu)
    telling = next((o for o in TELLING if o in observables), None)
    found = of_encoding(p, observables, telling) if telling else ()
    return [c.name for c in found if c is not OTHER]  # such as what shows in states that an assumption leaves out
