"""ubp-verify: decides by proof whether a program can notice a breakpoint-style probe (x86-64)."""

__version__ = "0.1.0"
