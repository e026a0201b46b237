"""What this machine said, as a JSON file: its name, and one row a line.

Decides nothing.  Files lie in proofs/live, one a kind, kernel release and processor family.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def processor() -> str:
    """Vendor, family and model of the first processor, as /proc/cpuinfo has them; unknown where it has them not."""
    file = Path("/proc/cpuinfo")
    text = file.read_text() if file.exists() else ""
    fields = dict(re.findall(r"^(vendor_id|cpu family|model)\s*: (.*)$", text, re.MULTILINE))
    family, model = (int(fields.get(name, 0)) for name in ("cpu family", "model"))
    return f"{fields.get('vendor_id', 'unknown')} family {family:#x} model {model:#x}"


def file_name(kind: str) -> str:
    """The name of a result's file: kind, kernel release without the build's own suffix, vendor and family."""
    release = re.match(r"[0-9.]+", platform.release())
    vendor, _, family = processor().split()[:3]
    return f"{kind}-{release[0] if release else platform.release()}-{vendor.lower()}-{family.removeprefix('0x')}h.json"


def keep(kind: str, document: Mapping[str, Any], folder: Path, rows: str = "rows") -> Path:
    """Writes the document below `folder`, made where it is missing, each item of `rows` on a line; the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(kind)
    head = json.dumps({name: value for name, value in document.items() if name != rows}, indent=1).removesuffix("\n}")
    lines = ",\n  ".join(json.dumps(row) for row in document[rows])
    path.write_text(f'{head},\n "{rows}": [\n  {lines}\n ]\n}}\n', encoding="utf-8")
    return path
