"""The protocols, one module each, with the name of the protocol (`xol_step` is `xol-step`); and people's own."""

from __future__ import annotations

import importlib
import pkgutil

from verify.concurrency.language.protocol import Protocol, ProtocolError
from verify.concurrency.protocols import _own


def names() -> tuple[str, ...]:
    """The names of all protocols."""
    found = (module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return tuple(sorted(name.replace("_", "-") for name in found))


def installed() -> tuple[str, ...]:
    """The names of the protocols of installed packages."""
    return tuple(sorted(set(_own.installed()) - set(names())))


def own(name: str) -> bool:
    """Whether a protocol is not one of these, but of a file or of an installed package."""
    return name not in names()


def protocol(name: str) -> Protocol:
    """The protocol of that name, of an entry point or of a file (`mine.py`)."""
    if _own.is_file(name):
        return _own.of_file(name)
    if name not in names():
        others = _own.installed()
        if name in others:
            return _own.of_entry_point(others[name])
        raise ProtocolError(f"no protocol {name!r}; there are {', '.join((*names(), *others))}, or a file mine.py")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    found = module.PROTOCOL
    if not isinstance(found, Protocol):
        raise ProtocolError(f"protocols/{name}: PROTOCOL must be a Protocol, got {found!r}")
    return found
