"""Writes the list of widths at which rewrite rules apply (rule_widths.json).  No test: run it where the list is short.

The class of every form's plainest encoding is built for both vendors (semantics, plan, obligations), under other
schemes than the default of every tenth form; every `--step`th form is judged whole, with classes, own fields and
counterexamples.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from rule_use import FILE, Use, recording, rows_of

from verify.claim.conditions import verification_condition
from verify.claim.obligations import obligations
from verify.claim.probes import probe_of
from verify.judge.encoding import without_obligations
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.scheme import Scheme
from verify.models.x86.isa.encode import decoded_representatives
from verify.models.x86.isa.forms import Cpu, Form, all_forms
from verify.survey.forms import Setting, judged_forms

DEFAULT = "linux-uprobes-6.18"
SHARE = 10  # of the forms are built under other schemes
HOW = f"rule_survey.py: every form built under {DEFAULT}, every {SHARE}th under the others, every {{step}}th judged"


def built(form: Form, scheme: Scheme, most: int, done: set[object]) -> None:
    """The obligations of the form's first encodings are built, but for classes that were built before."""
    for cpu in (Cpu.INTEL, Cpu.AMD):
        for decoded in islice(decoded_representatives(form, cpu), most):
            p = probe_of(decoded, scheme)
            if without_obligations(p) is None and p.shared_key not in done:
                done.add(p.shared_key)
                list(obligations(p, verification_condition(p)))


def surveyed(step: int) -> Iterator[str]:
    """Builds and judges, and says how far it is."""
    forms = list(all_forms())
    for name, scheme in SCHEMES.items():
        done: set[object] = set()
        for f in forms[:: 1 if name == DEFAULT else SHARE]:
            built(f, scheme, 1, done)
        yield f"{name}: built"
        setting = Setting(scheme, (Cpu.INTEL, Cpu.AMD), ASSUMPTIONS)
        for _ in judged_forms([f.name for f in forms[::step]], setting, {}, {}, 1):
            pass
        yield f"{name}: judged"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--step", type=int, default=40)
    step = arguments.parse_args().step
    seen: set[Use] = set()
    with recording(seen):
        for line in surveyed(step):
            print(line, len(seen), flush=True)
            write(rows_of(seen), step)


def write(rows: dict[str, list[list[Any]]], step: int) -> None:
    """The list, a rule a line."""
    lines = [f"{json.dumps(rule)}: {json.dumps(found, separators=(',', ':'))}" for rule, found in rows.items()]
    how = json.dumps(HOW.format(step=step))
    text = ",\n".join(lines)
    FILE.write_text(f'{{"made_by": {how},\n"widths": {{\n{text}\n}}}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
