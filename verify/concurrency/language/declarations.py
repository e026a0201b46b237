"""Declarations: what is wrong with a variable or an option before a function is read."""

from __future__ import annotations

from verify.concurrency.language.domains import (
    Array,
    Bool,
    Bounded,
    Domain,
    Enum,
    Parameter,
    ProtocolError,
    Size,
    Start,
    ThreadId,
)


def fair_kind(fair: str | None) -> None:
    """Raises ProtocolError for what is no fairness."""
    if fair not in ("weak", "strong", None):
        raise ProtocolError(f"fairness is 'weak', 'strong' or None, got {fair!r}")


def option_name(value: object, option: str, meaning: str) -> None:
    """Raises ProtocolError for an option that is no text; the function where the decorator has no parentheses."""
    if callable(value):
        name = getattr(value, "__name__", "a function")
        raise ProtocolError(f"step {name}: the decorator needs parentheses: `.step()`")
    if value is not None and not isinstance(value, str):
        raise ProtocolError(f"{option} is {meaning}, a string; got {value!r}")


def check_variable(name: str, domain: Domain, shared: bool) -> None:
    """Raises ProtocolError for a variable that is not finite, or that starts as it cannot."""
    if not name.isidentifier():
        raise ProtocolError(f"variable name {name!r} is not an identifier")
    if not isinstance(domain, Bounded | Enum | Bool | ThreadId | Array):
        raise ProtocolError(f"variable {name} is unbounded: expected a finite domain, got {domain!r}")
    scalar = domain.element if isinstance(domain, Array) else domain
    if shared and isinstance(scalar.initial, Start) and scalar.initial.by_thread:
        raise ProtocolError(f"variable {name} is shared: {scalar.initial.name} belongs to per-thread variables")
    if shared and not isinstance(scalar, ThreadId) and scalar.first is not None:
        raise ProtocolError(f"variable {name} is shared: `first` belongs to per-thread variables")


def sizes(domain: Domain) -> list[Parameter]:
    """The parameters in a domain."""
    scalar = domain.element if isinstance(domain, Array) else domain
    found: list[object] = [domain.length] if isinstance(domain, Array) else []
    if isinstance(scalar, Bounded):
        found += [scalar.lo, scalar.hi, scalar.initial, scalar.first]
    return [size.origin for size in found if isinstance(size, Size)]
