"""The ledger: what has been decided, kept between runs.

Three files a scheme: `obligations-SCHEME.jsonl`, one decision a line by canonical digest (true whatever the code that
asks becomes, because the text that is hashed is the whole question), `forms-SCHEME.json`, the verdicts of forms
with a fingerprint of the code and options that made them, and `classes-SCHEME.txt`, digests of the classes of encodings
that were proved, with such a fingerprint.  A damaged file is set aside under another name and rebuilt.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from verify.smt.verdicts import Decision, Verdict, Witness

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


def class_mark(scheme: str, assumptions: Iterable[str]) -> str:
    """The fingerprint under which proved classes are kept; the vendor is part of a class where it matters."""
    return fingerprint("classes", scheme, *sorted(assumptions))


class Ledger:
    """The decisions and form verdicts of one scheme.  `notices` says what was found damaged."""

    def __init__(self, directory: Path, scheme: str) -> None:
        self.directory = directory
        self.notices: list[str] = []
        self._obligations = directory / f"obligations-{scheme}.jsonl"
        self._forms = directory / f"forms-{scheme}.json"
        self._classes = directory / f"classes-{scheme}.txt"
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

    def proved_classes(self, mark: str) -> frozenset[str]:
        """Digests of the classes of encodings that the same code proved; empty where the file is of other code."""
        if not self._classes.exists():
            return frozenset()
        first, *digests = self._classes.read_text(encoding="utf-8", errors="replace").split("\n")
        if len(first) != len(mark) or any(c not in "0123456789abcdef" for c in first):
            self._set_aside(self._classes, "its first line is not a fingerprint")
        if first != mark:
            return frozenset()
        whole = {d for d in digests if len(d) == 20}
        if any(d and len(d) != 20 for d in digests):
            self._set_aside(self._classes, "a line is not a digest")
            return frozenset()
        return frozenset(whole)

    def add_classes(self, mark: str, digests: Iterable[str]) -> None:
        """Stores digests of proved classes; those of other code are forgotten."""
        new = list(digests)
        if not new:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        current = self._classes.exists() and self._classes.open(encoding="utf-8", errors="replace").readline().strip()
        with self._classes.open("a" if current == mark else "w", encoding="utf-8") as out:
            if current != mark:
                out.write(mark + "\n")
            out.writelines(d + "\n" for d in new)

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
    witness = None if w is None else [w.values, w.faults, w.seed, w.memory]
    return [digest, decision.verdict.value, decision.reason, witness]


def _decoded(row: list[Any]) -> tuple[str, Decision]:
    digest, verdict, reason, w = row
    witness = None
    if w is not None:
        values = tuple((n, tuple(v) if isinstance(v, list) else v) for n, v in w[0])
        witness = Witness(values, tuple(tuple(f) for f in w[1]), w[2], tuple(tuple(m) for m in w[3]))
    return str(digest), Decision(Verdict(verdict), witness, str(reason))
