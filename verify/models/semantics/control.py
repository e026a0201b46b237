"""The table of all control transfer: near, far, into the kernel, transactions, shadow-stack management."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verify.models.semantics import far_control, kernel_entry, near_control, shadow_stack, transactions
from verify.models.semantics.registry import Semantics

SEMANTICS: Final[Mapping[str, Semantics]] = {
    **near_control.SEMANTICS,
    **far_control.SEMANTICS,
    **kernel_entry.SEMANTICS,
    **transactions.SEMANTICS,
    **shadow_stack.SEMANTICS,
}
