"""Runs one instruction from a given full state on the processor of this machine and returns the complete outcome.

Decides nothing about what an instruction ought to do.  The instruction runs in a child process that has only the
executor's pages mapped; a crash, hang or runaway of the child is an outcome, and the child is replaced.
Not observed: segment selectors, debug and model-specific registers, shadow stack, timing.
"""

from collections.abc import Collection
from types import TracebackType
from typing import Final, Self

from verify.live.capabilities import capabilities
from verify.live.child import CodeFile
from verify.live.layout import Layout
from verify.live.outcomes import CRASHED, HUNG, KINDS, chunks, classify, differences, outcome, pack_state
from verify.live.session import Ending, Session
from verify.live.state import OBSERVABLES, Outcome, State

SLOT_OFFSET: Final = 0x200  # default origin inside the code area


class Executor:
    """A context manager that owns one child process; raises ExecutorUnavailable where the machine lacks something.

    `code_file`: map the code area from this file (MAP_PRIVATE); its contents are the caller's (see `layout.code_image`).
    `background`: bytes of memory not listed in a state.  `patience`: seconds without progress until the child is killed.
    """

    def __init__(
        self,
        layout: Layout | None = None,
        code_file: CodeFile | None = None,
        background: bytes | None = None,
        patience: float = 5.0,
    ) -> None:
        self.capabilities = capabilities()
        self.layout = layout or Layout()
        self.origin = self.layout.code_base + SLOT_OFFSET
        self._session = Session(self.layout, self.capabilities, code_file, background, patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child and releases the arena."""
        self._session.close()

    @property
    def pid(self) -> int:
        """Process id of the child; it changes when the child had to be replaced."""
        return self._session.pid

    def run(
        self, code: bytes, state: State, origin: int | None = None, observe: Collection[str] = OBSERVABLES
    ) -> Outcome:
        """The outcome of `code` at `origin` from `state`; what is not in `observe` is neither loaded nor compared.

        Raises ValueError for a state that cannot be loaded, or a code file that does not hold the instruction's slot.
        """
        session, at = self._session, self.origin if origin is None else origin
        vector = bool({"vector", "x87"} & set(observe))
        memory = "memory" in observe or bool(state.memory)
        session.place(code, at)
        into, out = session.formats(vector)
        session.write_input(pack_state(state, code, self.capabilities, into.itemsize))
        before = chunks(state.memory, session.background) if memory else {}
        session.write_log([(0, address, data) for address, data in before.items()])
        ending = session.call(0, 1, vector, memory)
        if ending is not None:
            return self._ended(ending, at)
        record = session.outputs(1, out)
        classify(record, len(code), at, self.layout)
        changed = self._changed(before) if memory else ()
        return outcome(record.tobytes(), int(record["kind"][0]), state, changed, self.capabilities)

    def _changed(self, before: dict[int, bytes]) -> tuple[tuple[int, bytes], ...]:
        """Differences between the chunks loaded and the chunks that the stub found to differ from the background."""
        background = self._session.background
        after = {int(e["address"]): e["chunk"].tobytes() for e in self._session.read_log()}
        keys = before.keys() | after.keys()
        return differences(
            {key: before.get(key, background[key]) for key in keys},
            {key: after.get(key, background[key]) for key in keys},
        )

    def _ended(self, ending: Ending, origin: int) -> Outcome:
        """The outcome of a trial during which the child ended or had to be killed."""
        kind = KINDS[HUNG if ending.hung else CRASHED]
        return Outcome(kind, None, origin, signal=max(-ending.status, 0), exit_status=ending.status)
