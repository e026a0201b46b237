"""The ledger: what has been decided for a scheme, kept between runs as rows of a store.

Decisions of queries and their rows are under the fingerprint of the prover, classes of encodings under that of the
judge, rows of forms under that of the survey.  What other code decided is not read.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from verify.claim.verdicts import Decision, Verdict, Witness
from verify.ledger.folder import Folder
from verify.ledger.store import Store, Table
from verify.report.judged import JudgedForm
from verify.report.ledgers import DecisionRow
from verify.report.records import row_text, rows_of
from verify.survey.class_ledger import ClassLedger
from verify.survey.settings import FORMS, OBLIGATIONS, classes_mark, obligations_mark, settings_name, store_for


class Ledger:
    """The decisions and form verdicts of one scheme under one setting."""

    def __init__(self, store: Store | Path, scheme: str, setting: str = "") -> None:
        self.store = Folder(store) if isinstance(store, Path) else store
        self.scheme, self.setting = scheme, setting
        self.is_settled = True  # as far as `forms` has seen
        self._obligations = self._table(OBLIGATIONS, obligations_mark())
        self.decisions: dict[str, Decision] = self._stored_decisions()

    @property
    def notices(self) -> list[str]:
        """What was found damaged."""
        return list(self.store.notices)

    def _table(self, kind: str, mark: str) -> Table:
        return Table(kind, self.scheme, mark, self.setting)

    def _stored_decisions(self) -> dict[str, Decision]:
        try:
            rows = self.store.get(self._obligations)
            return dict(zip(rows, map(decision_of, rows_of(rows.values(), DecisionRow)), strict=True))
        except ValueError as error:
            self.store.reject(self._obligations, str(error))
            return {}

    def add(self, decisions: Iterable[tuple[str, Decision]]) -> None:
        """Stores new decisions at once, so that an interrupted run loses none."""
        new = {d: x for d, x in decisions if x.verdict is not Verdict.UNKNOWN and self.decisions.get(d) != x}
        if new:
            self.decisions.update(new)
            self.store.put(self._obligations, {digest: decision_text(x) for digest, x in new.items()})

    def classes(self, assumptions: Iterable[str]) -> ClassLedger:
        """What is kept of classes that were decided under these assumptions by the present code."""
        return ClassLedger(self.store, self.scheme, classes_mark(self.scheme, assumptions), self.setting)

    def forms(self, mark: str, names: Iterable[str] | None = None) -> dict[str, JudgedForm]:
        """Stored rows by form name, of the named forms or of all, where they were made by the same code and options."""
        table = self._table(FORMS, mark)
        rows = self.store.get(table)
        self.is_settled = list(rows) == sorted(rows)
        wanted = [n for n in (rows if names is None else names) if n in rows]
        try:
            return dict(zip(wanted, rows_of((rows[n] for n in wanted), JudgedForm), strict=True))
        except ValueError as error:
            self.store.reject(table, str(error))
            return {}

    def keep_forms(self, mark: str, rows: Iterable[JudgedForm]) -> None:
        """Stores rows beside those that were stored by the same code and options."""
        self.store.put(self._table(FORMS, mark), {row.form: row_text(row) for row in rows})

    def settle(self, mark: str, assumptions: Iterable[str]) -> None:
        """Orders what is kept: the same rows are then the same files, whatever ran, was interrupted and went on."""
        self.store.settle(self._obligations)
        self.classes(assumptions).settle()
        self.store.settle(self._table(FORMS, mark))  # the last one: its order tells that of all
        self.is_settled = True


def ledger_for(
    given: str | None, scheme: str, cpu: str, assumptions: Iterable[str], mark: str = ""
) -> Ledger:
    """The ledger of a scheme under these settings, where `settings.store_for` says."""
    setting = settings_name(cpu, assumptions)
    return Ledger(store_for(given, scheme, setting, mark), scheme, setting)


def decision_text(decision: Decision) -> str:
    """The text of a `DecisionRow`; of a witness without answers the last item is left out."""
    w = decision.witness
    row = w and [w.values, w.faults, w.seed, w.memory, *([w.answers] if w.answers else [])]
    return row_text([decision.verdict.value, decision.reason, row])


def decision_of(row: DecisionRow) -> Decision:
    """The decision that a row keeps."""
    w = row.witness
    witness = None if w is None else Witness(w.values, w.faults, w.seed, w.memory, w.answers)
    return Decision(Verdict(row.verdict), witness, row.reason)
