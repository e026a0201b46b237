"""The processor's name, as results have it."""

from __future__ import annotations

import re
from pathlib import Path


def processor() -> str:
    """Vendor, family and model of the first processor, as /proc/cpuinfo has them; unknown where it has them not."""
    file = Path("/proc/cpuinfo")
    text = file.read_text() if file.exists() else ""
    fields = dict(re.findall(r"^(vendor_id|cpu family|model)\s*: (.*)$", text, re.MULTILINE))
    family, model = (int(fields.get(name, 0)) for name in ("cpu family", "model"))
    return f"{fields.get('vendor_id', 'unknown')} family {family:#x} model {model:#x}"
