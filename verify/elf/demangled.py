"""Names of C++ and Rust functions as their source has them, by binutils' c++filt where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from typing import Final

MANGLED: Final = re.compile(r"_(?:Z|R)\w+")  # Itanium C++ ABI, 5.1; Rust RFC 2603


def demangled(names: Iterable[str]) -> dict[str, str]:
    """Mangled name -> the source's; without the tool, and of other names, nothing."""
    wanted = list(dict.fromkeys(m for name in names for m in MANGLED.findall(name)))
    tool = shutil.which("c++filt")
    if not wanted or tool is None:
        return {}
    done = subprocess.run([tool], input="\n".join(wanted), capture_output=True, text=True, check=False)
    said = done.stdout.splitlines()
    return dict(zip(wanted, said, strict=True)) if done.returncode == 0 and len(said) == len(wanted) else {}


def replaced_in(text: str, known: dict[str, str]) -> str:
    """The text with the mangled names that are known as the source has them."""
    return MANGLED.sub(lambda m: known.get(m[0], m[0]), text)
