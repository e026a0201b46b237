"""ubp-verify: decides by proof whether a program can notice a breakpoint-style probe (x86-64)."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ubp-verify")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0.1.0"
