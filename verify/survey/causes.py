"""The causes of a survey's findings: forms grouped by cause, the most harmful first.

A form is refuted by the first of its classes that is; whether encodings as compilers emit them are refuted is judged
where that one's encoding is odd.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from verify.causes import rows as causes
from verify.causes.catalogue import Cause
from verify.causes.ordinary import is_ordinary
from verify.claim.probes import probe_of
from verify.claim.verdicts import Verdict
from verify.judge.encoding import Judge
from verify.models.schemes.scheme import Scheme
from verify.models.x86.isa.assemble import assemble, plain_parts
from verify.models.x86.isa.assembly import assembly
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.encode import decoded_representatives
from verify.models.x86.isa.forms import Cpu, form
from verify.report.causes import CauseFinding
from verify.report.judged import JudgedForm
from verify.report.records import picked, replaced
from verify.report.surveys import FormRow
from verify.survey.selection import EVERYTHING, Selection

Confirmed = Mapping[str, str]  # by cause: the machine that was seen to do it, and the encoding


@dataclass(frozen=True)
class Explained:
    """Rows of forms with their causes."""

    scheme: Scheme
    cpus: tuple[Cpu, ...]
    rows: Sequence[JudgedForm]
    judge_made: Callable[[], Judge]
    selection: Selection = EVERYTHING
    _shown_as: dict[str, Decoded | None] = field(default_factory=dict)

    @cached_property
    def judge(self) -> Judge:
        """Decides of encodings as compilers emit them."""
        return self.judge_made()

    @cached_property
    def by_form(self) -> dict[str, Cause]:
        """The causes of what is refuted or refused."""
        asked = self.selection.observables
        found = ((row.form, causes.of_form(row, self.scheme, asked)) for row in self.rows)
        return {name: cause for name, cause in found if cause is not None}

    @cached_property
    def forms(self) -> tuple[FormRow, ...]:
        """The rows as they are shown."""
        return tuple(map(self._shown, self.rows))

    def _shown(self, row: JudgedForm) -> FormRow:
        plain, cause = self.selection.form(picked(row, FormRow)), self.by_form.get(row.form)
        if cause is None or plain.verdict not in {"refuted", "refused"}:
            return plain
        return replaced(plain, cause=cause.name, emitted=self._is_emitted(row))

    def _is_emitted(self, row: JudgedForm) -> bool:
        """Whether an encoding as compilers emit them is refuted, or refused."""
        if row.counterexample is None:
            return self._decoded(row) is not None
        return self._is_ordinary(row) or self._refuted_as_emitted(row.form)

    def _is_ordinary(self, row: FormRow | JudgedForm) -> bool:
        """Whether the counterexample's encoding is one that compilers emit."""
        decoded = self._decoded(row)
        return decoded is not None and is_ordinary(decoded)

    def _decoded(self, row: FormRow | JudgedForm) -> Decoded | None:
        """The encoding that stands for a form: the counterexample's, or the plainest one."""
        if row.form not in self._shown_as:
            example = row.counterexample
            of_example = causes.probe_of_example(example, self.scheme).decoded if example is not None else None
            found = of_example if example is not None else self._plainest(row.form)
            self._shown_as[row.form] = found if isinstance(found, Decoded) else None
        return self._shown_as[row.form]

    def _plainest(self, name: str) -> Decoded | None:
        """The form's plainest encoding, where compilers emit it."""
        of = form(name)
        for cpu in self.cpus:
            parts = plain_parts(of, cpu)
            found = decode(assemble(of, parts), cpu) if parts is not None else None
            if isinstance(found, Decoded) and found.form is of and is_ordinary(found):
                return found
        return None

    def _refuted_as_emitted(self, name: str) -> bool:
        seen: set[tuple[object, ...]] = set()
        for cpu in self.cpus:
            for decoded in filter(is_ordinary, decoded_representatives(form(name), cpu)):
                p = probe_of(decoded, self.judge.scheme)
                if p.key not in seen and self.judge.verdict(p) is Verdict.REFUTED:
                    return True
                seen.add(p.key)
        return False

    @property
    def left_out(self) -> int:
        """How many forms that are refuted or refused do not count."""
        return sum(bool(row.cause) and not self.selection.counts_form(row) for row in self.forms)

    def findings(self, confirmed: Confirmed) -> tuple[CauseFinding, ...]:
        """One finding a cause, the most harmful first, then the one with the most forms that compilers emit."""
        groups: dict[Cause, list[FormRow]] = defaultdict(list)
        for row in self.forms:
            if row.cause and self.selection.counts_form(row):
                groups[self.by_form[row.form]].append(row)
        found = [(cause, self._finding(cause, rows, confirmed)) for cause, rows in groups.items()]
        found.sort(key=lambda item: (item[0].harm.rank, -item[1].emitted, -item[1].forms, item[0].name))
        return tuple(finding for _, finding in found)

    def _finding(self, cause: Cause, rows: Sequence[FormRow], confirmed: Confirmed) -> CauseFinding:
        first = min(rows, key=self._oddness)
        example, decoded = first.counterexample, self._decoded(first)
        return CauseFinding(
            cause=causes.row(cause, self.scheme), forms=len(rows), emitted=sum(bool(r.emitted) for r in rows),
            over_cautious=sum(r.over_cautious for r in rows), form=first.form,
            example=decoded.data.hex() if decoded is not None else "",
            followed_by=example.followed_by if example is not None else "",
            text=assembly(decoded) if decoded is not None else "",
            difference=example.first_difference if example is not None else "",
            confirmed=confirmed.get(cause.name, ""),
        )  # fmt: skip

    def _oddness(self, row: FormRow) -> tuple[bool, int, str]:
        """Least for the encoding that is met most: one that compilers emit, and the shortest."""
        decoded = self._decoded(row)
        return not row.emitted or not self._is_ordinary(row), len(decoded.data) if decoded else 16, row.form


def unexplained(rows: Iterable[FormRow]) -> list[FormRow]:
    """The forms whose cause is `other`."""
    return [row for row in rows if row.cause == "other"]
