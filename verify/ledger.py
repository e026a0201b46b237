"""The ledger: what has been decided, kept between runs.

`obligations-SCHEME.jsonl`: one decision a line by canonical digest (true whatever the code that asks becomes, because
the text that is hashed is the whole question); `forms-SCHEME.json`: the verdicts of forms with a fingerprint of the
code and options that made them; what is kept of classes of encodings is `verify.class_ledger`'s.  A damaged file is set
aside under another name and rebuilt.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from verify.class_ledger import ClassLedger
from verify.smt.verdicts import Decision, Verdict, witness_of

FORMAT: Final = 1
PACKAGES: Final = ("iced-x86", "z3-solver", "capstone")


def default_directory() -> Path:
    """`proofs/` of a checkout that the working directory lies in, else the user's cache directory."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "proofs").is_dir() and (folder / "verify" / "smt").is_dir():
            return folder / "proofs"
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "ubp-verify"


def fingerprint(*options: str) -> str:
    """A hash of the models, the prover, the versions of what they rest on, and the options."""
    digest = sha256()
    root = Path(__file__).parent
    for path in sorted([*root.glob("models/**/*.py"), *root.glob("smt/**/*.py")]):
        digest.update(path.read_bytes())
    for package in PACKAGES:
        digest.update(version(package).encode())
    digest.update("\0".join(options).encode())
    return digest.hexdigest()[:32]


class Ledger:
    """The decisions and form verdicts of one scheme.  `notices` says what was found damaged."""

    def __init__(self, directory: Path, scheme: str) -> None:
        self.directory, self.scheme = directory, scheme
        self.notices: list[str] = []
        self._obligations = directory / f"obligations-{scheme}.jsonl"
        self._forms = directory / f"forms-{scheme}.json"
        self.decisions: dict[str, Decision] = {}
        self._read_decisions()

    def _set_aside(self, path: Path, why: str) -> None:
        number = 1
        while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
            number += 1
        path.rename(aside)
        self.notices.append(f"ledger {path} is damaged ({why}); set aside as {aside.name}, being rebuilt")

    def _read_decisions(self) -> None:
        if not self._obligations.exists():
            return
        try:
            lines = self._obligations.read_text(encoding="utf-8").splitlines()
            self.decisions = dict(_decoded(json.loads(line)) for line in lines)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            self._set_aside(self._obligations, str(error))
            self.decisions = {}
            self.add(())

    def add(self, decisions: Iterable[tuple[str, Decision]]) -> None:
        """Stores new decisions at once, so that an interrupted run loses none."""
        new = [(d, x) for d, x in decisions if d not in self.decisions and x.verdict is not Verdict.UNKNOWN]
        if not new:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        with self._obligations.open("a", encoding="utf-8") as out:
            out.writelines(json.dumps(_encoded(d, x), separators=(",", ":")) + "\n" for d, x in new)
        self.decisions.update(new)

    def classes(self, assumptions: Iterable[str]) -> ClassLedger:
        """What is kept of classes that were decided under these assumptions by the present code."""
        mark = fingerprint("classes", self.scheme, *sorted(assumptions))  # the vendor is part of a class's digest
        return ClassLedger(self.directory, self.scheme, mark, self._set_aside)

    def forms(self, mark: str) -> dict[str, Mapping[str, Any]]:
        """Stored rows by form name, where they were made by the same code and options."""
        if not self._forms.exists():
            return {}
        try:
            stored = json.loads(self._forms.read_text(encoding="utf-8"))
            rows = {row["form"]: row for row in stored["rows"]}
            return rows if stored["fingerprint"] == mark and stored["format"] == FORMAT else {}
        except (ValueError, KeyError, TypeError) as error:
            self._set_aside(self._forms, str(error))
            return {}

    def keep_forms(self, mark: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Stores rows, replacing the file whole."""
        self.directory.mkdir(parents=True, exist_ok=True)
        text = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
        whole = f'{{"format":{FORMAT},"fingerprint":"{mark}","rows":[\n{text}\n]}}\n'
        partial = self._forms.with_name(f"{self._forms.name}.{os.getpid()}.partial")
        partial.write_text(whole, encoding="utf-8")
        partial.replace(self._forms)


def _encoded(digest: str, decision: Decision) -> list[Any]:
    w = decision.witness
    return [digest, decision.verdict.value, decision.reason, None if w is None else w.row()]


def _decoded(row: list[Any]) -> tuple[str, Decision]:
    digest, verdict, reason, w = row
    return str(digest), Decision(Verdict(verdict), None if w is None else witness_of(w), str(reason))
