"""States a second of the differential run of semantics, by processor time and by the clock, as JSON."""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from verify.live.differential.run import Settings, judged, processor
from verify.live.executor.executor import Executor
from verify.models.x86.isa.forms import all_forms


def main() -> None:
    """Prints one JSON object: the median of five seeds over every 340th form."""
    forms = all_forms()[11::340]
    busy, clock = [], []
    with Executor() as executor:
        for seed in range(1, 6):
            start, begun = time.process_time(), time.monotonic()
            states = sum(judged(executor, f, Settings(states=512, seed=seed)).states for f in forms)
            busy.append(states / (time.process_time() - start))
            clock.append(states / (time.monotonic() - begun))
        judge = processor(executor.capabilities)
    result = {
        "states_per_processor_second": round(statistics.median(busy)),
        "states_per_second": round(statistics.median(clock)),
        "judge": judge, "python": platform.python_version(),
    }  # fmt: skip
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
