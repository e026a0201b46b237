"""The protocols, one module each, with the name of the protocol (`xol_step` is `xol-step`)."""

from __future__ import annotations

import importlib
import pkgutil

from verify.concurrency.language.protocol import Protocol, ProtocolError


def names() -> tuple[str, ...]:
    """The names of all protocols."""
    found = (module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return tuple(sorted(name.replace("_", "-") for name in found))


def protocol(name: str) -> Protocol:
    """The protocol of that name."""
    if name not in names():
        raise ProtocolError(f"no protocol {name!r}; there are {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    found = module.PROTOCOL
    if not isinstance(found, Protocol):
        raise ProtocolError(f"protocols/{name}: PROTOCOL must be a Protocol, got {found!r}")
    return found
