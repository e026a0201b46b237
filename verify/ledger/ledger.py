"""The ledger: what has been decided, kept between runs.

`obligations-SCHEME.jsonl`: the decision of a query a line, by canonical digest; `forms-SCHEME.json`: the rows of
forms; what is kept of classes of encodings is `verify.ledger.classes`'s.  Each file begins with the fingerprint of what
decided: what other code decided is not read, and replaced when something is added.  Runs under other settings than the
default ones have a folder of their own.  A damaged file is set aside under another name and rebuilt.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from verify.claim.verdicts import Decision, Verdict, witness_of
from verify.ledger.classes import ClassLedger
from verify.ledger.files import append, first_line, lines_of, locked, replace, undamaged
from verify.ledger.fingerprint import JUDGE, PROVER, fingerprint, versions
from verify.models.schemes.assumptions import ASSUMPTIONS

FORMAT: Final = 2
ANY_CPU: Final = "any"
RECORDED: Final = ("linux-uprobes-6.18",)  # schemes in a checkout's proofs/, which its README lists
LONGEST: Final = 100  # characters of a folder's name


def checkout_directory() -> Path | None:
    """`proofs/` of the checkout that the working directory lies in; None where it lies in none."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "proofs").is_dir() and (folder / "verify" / "smt").is_dir():
            return folder / "proofs"
    return None


def cache_directory() -> Path:
    """The user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "ubp-verify"


def default_directory() -> Path:
    """`proofs/` of the checkout that the working directory lies in, else the user's cache directory."""
    return checkout_directory() or cache_directory()


def settings_name(cpu: str, assumptions: Iterable[str]) -> str:
    """The folder of runs under other settings than the default ones; "" for those."""
    given = frozenset(assumptions)
    without, added = sorted(ASSUMPTIONS - given), sorted(given - ASSUMPTIONS)
    parts = [f"cpu-{cpu}"] if cpu != ANY_CPU else []
    parts += [*(f"without-{name}" for name in without), *(f"with-{name}" for name in added)]
    name = "+".join(parts)
    return name if len(name) <= LONGEST else f"settings-{fingerprint((), name)}"


def place(given: str | None, scheme: str, cpu: str, assumptions: Iterable[str], mark: str = "") -> Path:
    """Where results under these settings are kept: in the folder that was given, in `proofs/` of a checkout what is
    recorded there, and everything else in the user's cache directory.

    A `mark` is that of a run over some of the forms: it does not replace what other code recorded of all of them.
    """
    settings = settings_name(cpu, assumptions)
    if given is not None:
        return Path(given) / settings
    proofs = checkout_directory()
    if proofs is not None and not settings and scheme in RECORDED:
        stored = first_line(_forms_file(proofs, scheme)) if mark else None
        if stored is None or stored.startswith(_header(mark)):
            return proofs
    return cache_directory() / settings


def _forms_file(directory: Path, scheme: str) -> Path:
    return directory / f"forms-{scheme}.json"


def _header(mark: str) -> str:
    return f'{{"format":{FORMAT},"fingerprint":"{mark}"'


class Ledger:
    """The decisions and form verdicts of one scheme.  `notices` says what was found damaged."""

    def __init__(self, directory: Path, scheme: str) -> None:
        self.directory, self.scheme = directory, scheme
        self.notices: list[str] = []
        self._obligations = directory / f"obligations-{scheme}.jsonl"
        self._forms = _forms_file(directory, scheme)
        self._header = _header(fingerprint(PROVER))
        self.decisions: dict[str, Decision] = undamaged(
            self._obligations, self._stored_decisions, {}, self.notices, (ValueError, KeyError, TypeError, IndexError)
        )

    def _stored_decisions(self) -> dict[str, Decision]:
        if not self._obligations.exists():
            return {}
        lines = lines_of(self._obligations)
        if lines and lines[0].startswith("["):  # format 1 had no fingerprint
            return {}
        if not lines or "fingerprint" not in _object(lines[0]):
            raise ValueError("its first line is not a fingerprint")
        if not lines[0].startswith(self._header):
            return {}
        return dict(_decoded(json.loads(line)) for line in lines[1:] if not line.startswith('{"versions":'))

    def add(self, decisions: Iterable[tuple[str, Decision]]) -> None:
        """Stores new decisions at once, so that an interrupted run loses none."""
        new = {d: x for d, x in decisions if x.verdict is not Verdict.UNKNOWN and self.decisions.get(d) != x}
        if not new:
            return
        self.decisions.update(new)
        with locked(self.directory):
            stored = first_line(self._obligations) or ""
            fresh = not stored.startswith(self._header)
            rows = [_encoded(d, x) for d, x in (self.decisions if fresh else new).items()]
            if fresh:
                head = f'{self._header},"versions":{json.dumps(versions())}}}\n'
                replace(self._obligations, head + "".join(f"{row}\n" for row in rows))
            else:
                beside = [] if json.dumps(versions()) in stored else [json.dumps({"versions": versions()})]
                append(self._obligations, [*beside, *rows])

    def classes(self, assumptions: Iterable[str]) -> ClassLedger:
        """What is kept of classes that were decided under these assumptions by the present code."""
        mark = fingerprint(JUDGE, "classes", self.scheme, *sorted(assumptions))  # the vendor is in a class's digest
        return ClassLedger(self.directory, self.scheme, mark, self.notices)

    def forms(self, mark: str) -> dict[str, Mapping[str, Any]]:
        """Stored rows by form name, where they were made by the same code and options."""
        return {row["form"]: row for row in self._stored_forms(mark).get("rows", ())}

    def _stored_forms(self, mark: str) -> Mapping[str, Any]:
        def read() -> Mapping[str, Any]:
            stored = first_line(self._forms)
            if stored is None:
                return {}
            if stored.startswith('{"format":') and stored.endswith('"rows":[') and not stored.startswith(_header(mark)):
                return {}
            found = _object(self._forms.read_text(encoding="utf-8"))
            if found["fingerprint"] != mark or not all(row["form"] for row in found["rows"]):
                return {}
            return found

        return undamaged(self._forms, read, {}, self.notices, (ValueError, KeyError, TypeError))

    def keep_forms(self, mark: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Stores rows beside those that were stored by the same code and options, in the order of their names."""
        with locked(self.directory):
            stored = self._stored_forms(mark)
            kept = {row["form"]: row for row in (*stored.get("rows", ()), *rows)}
            beside = sorted({*stored.get("versions", ()), versions()})
            text = ",\n".join(json.dumps(kept[name], separators=(",", ":")) for name in sorted(kept))
            replace(self._forms, f'{_header(mark)},"versions":{json.dumps(beside)},"rows":[\n{text}\n]}}\n')


def _object(text: str) -> dict[str, Any]:
    """The JSON object.  Raises ValueError for another value."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"an object was expected, not {text[:20]!r}")
    return found


def _encoded(digest: str, decision: Decision) -> str:
    w = decision.witness
    row = [digest, decision.verdict.value, decision.reason, None if w is None else w.row()]
    return json.dumps(row, separators=(",", ":"))


def _decoded(row: list[Any]) -> tuple[str, Decision]:
    digest, verdict, reason, w = row
    return str(digest), Decision(Verdict(verdict), None if w is None else witness_of(w), str(reason))
