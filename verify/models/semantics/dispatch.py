"""One entry to all semantics: what an instruction does to a state.

Order: #UD that the prefixes or fields force, #GP of what only the kernel may run, the family's function, and for
everything else the routed semantics.
"""

from __future__ import annotations
