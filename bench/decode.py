"""Microseconds for one decode, one set of fields, and seconds for the list of forms; median of five."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent))

from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.encode import decoded_representatives, random_encoding
from verify.models.x86.isa.fields import fields, operand_register
from verify.models.x86.isa.forms import Cpu, all_forms


def median_seconds(job: Callable[[], object]) -> float:
    """Median of five runs."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def encodings(count: int) -> list[bytes]:
    """One random encoding of each of `count` forms that Intel's processors have."""
    rng, forms = Random(1), all_forms()
    found: list[bytes] = []
    while len(found) < count:
        try:
            found.append(random_encoding(rng.choice(forms), rng))
        except ValueError:
            continue
    return found


def registers(found: list[Decoded]) -> None:
    """All register operands and displacements."""
    for d in found:
        parts = fields(d)
        _ = parts.disp
        for position, kind in enumerate(d.form.opcode.op_kinds):
            if kind.endswith(("_reg", "_vvvv", "_rm")):
                operand_register(d.form.opcode, position, parts)


def main() -> None:
    """Prints one JSON object."""
    data = encodings(20_000)
    found = [d for d in (decode(b, Cpu.INTEL) for b in data) if isinstance(d, Decoded)]
    command = [sys.executable, "-c", "from verify.models.x86.isa.forms import all_forms; all_forms()"]
    cold = median_seconds(lambda: subprocess.run(command, check=True, cwd=Path(__file__).parent.parent))
    sample = all_forms()[::50]
    listed = sum(1 for f in sample for _ in decoded_representatives(f, Cpu.INTEL))
    result = {
        "decode_us": 1e6 * median_seconds(lambda: [decode(b, Cpu.INTEL) for b in data]) / len(data),
        "fields_us": 1e6 * median_seconds(lambda: registers(found)) / len(found),
        "all_forms_cold_process_s": cold,
        "representative_us": 1e6
        * median_seconds(lambda: [d for f in sample for d in decoded_representatives(f, Cpu.INTEL)])
        / listed,
        "representatives_of_all_forms": listed * 50,
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
