"""Which semantics function an instruction has: by mnemonic, in tables kept by the family modules.

A family module has `SEMANTICS: Final[Mapping[str, Semantics]]` from lower-case iced mnemonics to functions.  What no
family claims is routed (`verify.models.x86.semantics.routed`): exact operands, addresses, sizes and flags, and a
datapath that is an uninterpreted function of everything the instruction reads.
"""

from __future__ import annotations

from collections.abc import Callable

from verify.models.x86.semantics.run import Run

Semantics = Callable[[Run], None]
