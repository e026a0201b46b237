"""Writes the list of widths at which rewrite rules apply (rule_widths.json).  No test: run it where the list is short.

Every form's plainest encoding under every scheme and vendor is built (semantics, plan, obligations); every `--step`th
form is judged whole, with its classes, own fields and counterexamples, under every scheme.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import islice

from rule_use import FILE, Use, recording, rows_of

from verify.models.isa.encode import decoded_representatives
from verify.models.isa.forms import Cpu, Form, all_forms
from verify.models.problems import problem
from verify.models.schemes.execution import ASSUMPTIONS
from verify.models.schemes.plan import Refuse, Scheme
from verify.models.schemes.registry import SCHEMES
from verify.models.sites import probe_of
from verify.parallel import Setting, judged_forms
from verify.smt.judge import obligations

HOW = "rule_survey.py: under every scheme, for both vendors, every form was built and every {step}th judged"


def built(form: Form, scheme: Scheme, most: int) -> int:
    """How many encodings of a form had their obligations built."""
    count = 0
    for cpu in (Cpu.INTEL, Cpu.AMD):
        for decoded in islice(decoded_representatives(form, cpu), most):
            p = probe_of(decoded, scheme)
            if not isinstance(p.plan, Refuse):
                count += len(list(obligations(p, problem(p))))
    return count


def surveyed(step: int, most: int = 1) -> Iterator[str]:
    """Builds and judges, and says how far it is."""
    forms = list(all_forms())
    for name, scheme in SCHEMES.items():
        for f in forms:
            built(f, scheme, most)
        yield f"{name}: built"
        setting = Setting(scheme, (Cpu.INTEL, Cpu.AMD), ASSUMPTIONS)
        for _ in judged_forms([f.name for f in forms[::step]], setting, {}, {}, 1):
            pass
        yield f"{name}: judged"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--step", type=int, default=25)
    step = arguments.parse_args().step
    seen: set[Use] = set()
    with recording(seen):
        for line in surveyed(step):
            print(line, len(seen), flush=True)
    rows = rows_of(seen)
    lines = [f"{json.dumps(rule)}: {json.dumps(found, separators=(',', ':'))}" for rule, found in rows.items()]
    how = json.dumps(HOW.format(step=step))
    text = ",\n".join(lines)
    FILE.write_text(f'{{"made_by": {how},\n"widths": {{\n{text}\n}}}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
