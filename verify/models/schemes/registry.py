"""The schemes that can be named on a command line."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from verify.models.schemes import identity, linux_uprobes, linux_uprobes_3_15
from verify.models.schemes.plan import Scheme

SCHEMES: Final[Mapping[str, Scheme]] = MappingProxyType(
    {s.name: s for s in (linux_uprobes.SCHEME, linux_uprobes_3_15.SCHEME, identity.SCHEME)}
)
DEFAULT: Final = linux_uprobes.SCHEME.name
