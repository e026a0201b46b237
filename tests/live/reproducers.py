"""Every refuted observable of a sample of the recorded refuted forms: emitted, compiled, run, and what came of it.

The sample takes forms in turn from every group of opcode map, mnemonic's first byte and refuted observables.  Run as
`make reproducers`: prints counts by observable and outcome; status 1 where a program was written and does not show what
it is to show.  Needs uprobes and a C compiler.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from random import Random

from verify.claim.verdicts import Verdict
from verify.confirm.kernel import machine_cpu
from verify.confirm.reproducer import NOT_SHOWN, write_reproducer
from verify.judge.encoding import Judge
from verify.live.reproducer.program import Account
from verify.models.schemes.registry import DEFAULT, SCHEMES
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.forms import Addressing

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script
from recorded import form_rows, recorded

(RECORDED,) = recorded("forms")
SECONDS = 60  # of compiling, of running
WARNINGS = ("-Wall", "-Wextra", "-Werror")
SHOWN, OTHERWISE, TOLD, FAILED = "shown", "shown in another observable", "told before it is written", "FAILED"
UNDEFINED = "shown: #UD runs on"  # a processor that does not know the instruction, which the kernel emulates
FAR = 0x3000  # displacement of rip-relative operands: away from the instruction's own page


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one refuted observable of an encoding; `line`: the last line, or the reason that was told."""

    encoding: str
    observable: str
    outcome: str
    line: str


def sample(number: int, seed: int) -> list[bytes]:
    """Encodings of refuted forms, in turn from every group."""
    groups: dict[tuple[str, ...], list[bytes]] = defaultdict(list)
    for row in form_rows(RECORDED):
        if row.verdict == "refuted" and row.counterexample is not None:
            refuted = tuple(o for o, v in row.observables.items() if v == "refuted")
            opcode_map, _, opcode = row.opcode.rpartition(".")
            key = (opcode_map, opcode[:-1], row.addressing, *refuted)
            groups[key].append(away(bytes.fromhex(row.counterexample.bytes)))
    random = Random(seed)
    lists = [random.sample(found, len(found)) for _, found in sorted(groups.items())]
    random.shuffle(lists)
    turns = (data for turn in zip_longest(*lists) for data in turn if data is not None)
    return list(islice(dict.fromkeys(turns), number))


def away(data: bytes) -> bytes:
    """The encoding, with a rip-relative operand that lies outside the code pages."""
    decoded = decode(data, machine_cpu())
    if not isinstance(decoded, Decoded) or decoded.form.addressing is not Addressing.RIP:
        return data
    at, size = decoded.layout.disp_offset or 0, decoded.layout.disp_size
    return data[:at] + FAR.to_bytes(size, "little") + data[at + size :]


def answers(data: bytes, judge: Judge, directory: Path) -> Iterator[Answer]:
    """The answer for each refuted observable; one of a vendor's own is told where the processor is the other's."""
    judgement = judge.judgement(data, machine_cpu())
    if judgement.verdict is not Verdict.REFUTED:
        said = judgement.verdict.value if judgement.verdict else "invalid"
        yield Answer(data.hex(), "-", TOLD, f"{said} for this vendor's processors")
    for deviation in judgement.deviations:
        name = deviation.observable
        emitted = write_reproducer(directory, judgement, judge.assumptions, Account(data.hex()), name)
        if emitted.is_written:
            outcome, line = executed(directory, name)
        else:
            outcome = TOLD if emitted.state.startswith(NOT_SHOWN) else FAILED
            line = emitted.state.removeprefix(NOT_SHOWN)
        yield Answer(data.hex(), name, outcome, line)


def executed(directory: Path, observable: str) -> tuple[str, str]:
    """Compiles and runs what was emitted: the outcome and the last line."""
    program = directory / "reproducer"
    command = ["cc", *WARNINGS, "-o", program, directory / "reproducer.c"]
    made = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if made.returncode:
        return FAILED, made.stderr
    ran = subprocess.run([program], cwd=directory, capture_output=True, text=True, timeout=SECONDS, check=False)
    line = (ran.stdout.splitlines() or ["nothing"])[-1]
    if ran.returncode or not line.startswith(f"deviation shown: {observable}"):
        return FAILED, f"status {ran.returncode}: {line}"
    if line.endswith("does not know the instruction"):
        return UNDEFINED, line
    return OTHERWISE if ", seen as " in line else SHOWN, line


def main() -> int:
    """Prints the figure; 1 where a program does not show what it is to show."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--encodings", type=int, default=300)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--from", dest="first", type=int, default=0, help="the first of them to run")
    options.add_argument("--seconds", type=float, default=None, help="stop after these, and say so")
    options.add_argument("--verbose", action="store_true")
    given = options.parse_args()
    judge, counts, reasons = Judge(SCHEMES[DEFAULT]), Counter[tuple[str, str]](), Counter[str]()
    chosen, begun, failed, done = sample(given.encodings, given.seed)[given.first :], time.monotonic(), 0, 0
    for data in chosen:
        if given.seconds is not None and time.monotonic() - begun > given.seconds:
            print(f"stopped before encoding {given.first + done} of {given.first + len(chosen)}")
            break
        done += 1
        with tempfile.TemporaryDirectory() as directory:
            for answer in answers(data, judge, Path(directory)):
                counts[answer.observable, answer.outcome] += 1
                failed += answer.outcome == FAILED
                if answer.outcome == TOLD:
                    reasons[answer.line.split(";")[0]] += 1
                if given.verbose or answer.outcome == FAILED:
                    print(answer.encoding, answer.observable, answer.outcome, answer.line, sep="\t", flush=True)
    for (observable, outcome), count in sorted(counts.items()):
        print(f"{observable:<18} {outcome:<28} {count}")
    for reason, count in reasons.most_common():
        print(f"told: {count} {reason}")
    total = sum(counts.values())
    print(f"{done} encodings, {total} refuted observables, {failed} failed, {time.monotonic() - begun:.0f} s")
    return 1 if failed else 0 if done == len(chosen) else 2


if __name__ == "__main__":
    sys.exit(main())
