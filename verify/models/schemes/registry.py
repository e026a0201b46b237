"""The schemes that can be named on a command line."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from verify.models.schemes import identity
from verify.models.schemes.debuggers import gdb_displaced
from verify.models.schemes.hooks import jump_xol, minhook
from verify.models.schemes.linux import uprobes_3_15, uprobes_6_18, uprobes_lts, uprobes_next
from verify.models.schemes.scheme import Scheme
from verify.models.schemes.seed import emulate, inline_step, inline_step_hwbp, kernel_exec, xol_step

_ALL: Final = (
    uprobes_6_18.SCHEME, uprobes_next.SCHEME, *uprobes_lts.SCHEMES, uprobes_3_15.SCHEME,
    jump_xol.SCHEME, minhook.SCHEME,
    xol_step.SCHEME, inline_step.SCHEME, inline_step_hwbp.SCHEME,
    emulate.SCHEME, *kernel_exec.SCHEMES, *gdb_displaced.SCHEMES, identity.SCHEME,
)  # fmt: skip
SCHEMES: Final[Mapping[str, Scheme]] = MappingProxyType({s.name: s for s in _ALL})
DEFAULT: Final = uprobes_6_18.SCHEME.name
