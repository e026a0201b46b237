PYTHON ?= python3

.PHONY: check test whole live prove resume explore mutants bench headers continuations promote rules kernel semantics
.PHONY: store litmus races reproducers certificates accesses replays schema oracle elsewhere fairness docs browser fuzz-elf objdump

check:  ## ruff, mypy, layers, fast tests: under a minute
	ruff check .
	mypy
	$(PYTHON) -m pytest -n 2 tests/test_layers.py tests/unit --ignore=tests/unit/concurrency

test:  ## the whole suite, short live tests included
	$(PYTHON) -m pytest -n 2 tests

docs:  ## the documentation into site/, and every command in it run, the longer ones too (extra `docs`; two minutes)
	mkdocs build
	$(PYTHON) -m pytest -m "whole or not whole" tests/test_documentation.py

browser:  ## the HTML report in a headless Chromium, with axe-core (extra `browser`, chromium, chromedriver; a minute)
	$(PYTHON) -m pytest -m whole tests/unit/cli/test_beside_browser.py

whole:  ## of every long list of cases what the suite leaves out (ten minutes)
	$(PYTHON) -m pytest -n 2 -m whole tests
	$(PYTHON) -m pytest -n 2 --hypothesis-profile whole tests/property/test_schemes.py \
		tests/property/test_semantics_integer.py

prove:  ## every form under every scheme: the default one into proofs/, the others into the cache directory
	ubp-verify opcode-range -q
	ubp-verify opcode-range -q --scheme linux-uprobes-3.15
	ubp-verify opcode-range -q --scheme identity

resume:  ## a survey of some hundred forms, cut at counted points and taken up again (five minutes)
	UBP_VERIFY_RESUME="0f40-0f4f 0f90-0f9f 9c cf e8 ff" $(PYTHON) -m pytest tests/property/test_resume.py

explore:  ## every protocol with its wrong variants, compared with the manifests in proofs/protocols
	ubp-verify interleavings --variant all --check
	ubp-verify interleavings --threads 2 --check
	ubp-verify interleavings --threads 4 --check

oracle:  ## 2,000 random protocols, in every engine and for any number, against their functions run as Python (an hour)
	$(PYTHON) tests/property/compare_protocols.py 0 2000

fairness:  ## each step of every protocol and variant fair in another way: nothing is proved that is refuted (an hour)
	$(PYTHON) tests/property/fairness_mutants.py

mutants:  ## faults seeded into protocols, semantics, corrections and scheme: at least 99 % are told (twenty minutes)
	$(PYTHON) tests/mutants/score.py
	$(PYTHON) tests/mutants/semantics_score.py

rules:  ## every rewrite rule at every width in use, by three solvers, and at the edges of its condition; random terms (six minutes)
	$(PYTHON) tests/property/prove_rules.py

accesses:  ## registers that every form reads and writes, against the decoder library (five minutes)
	$(PYTHON) tests/property/register_access.py

replays:  ## 3,000 random encodings, each without one assumption: does every counterexample of the solver replay? (five minutes)
	$(PYTHON) tests/property/replay_search.py

certificates:  ## 20,000 changed statements, 5,000 small ones: what the checker accepts is true (most of an hour)
	PYTHONPATH=tests $(PYTHON) tests/property/certificate_trials.py 20000
	PYTHONPATH=tests $(PYTHON) tests/property/small_statements.py 5000

reproducers:  ## every refuted observable of 300 encodings: emitted, compiled, run (root, ten minutes)
	$(PYTHON) tests/live/reproducers.py

fuzz-elf:  ## 10,000 ELF files with wrong bytes: read, or refused in one line (a minute)
	PYTHONPATH=tests $(PYTHON) tests/fuzzed_elf.py

objdump:  ## instructions that scan finds in every ELF file of /usr/bin and /usr/lib, against objdump's (ten minutes)
	PYTHONPATH=tests $(PYTHON) tests/objdump_counts.py

elsewhere:  ## the tests of property/ and golden/ as on a machine that is not x86-64 (ten minutes)
	$(PYTHON) tests/elsewhere.py

semantics:  ## the processor judges the semantics, ten minutes
	ubp-verify confirm semantics --seconds 600

kernel:  ## the running kernel judges the scheme (root)
	ubp-verify confirm kernel

litmus:  ## the processors judge the fetch model: every test a million times
	ubp-verify confirm litmus

store:  ## eight processes on one store, killed at random for a minute: nothing lost, nothing damaged
	$(PYTHON) tests/unit/ledger/killed_writers.py

races:  ## the running kernel judges the protocols (root)
	ubp-verify confirm races

bench:  ## medians of five, JSON with machine and versions beside it
	for b in $(filter-out bench/compared.py,$(wildcard bench/*.py)); do $(PYTHON) $$b; done

headers:  ## the partition over all opcode headers (long)
	$(PYTHON) tests/enumerate_headers.py --share 1 --cpu intel
	$(PYTHON) tests/enumerate_headers.py --share 1 --cpu amd

continuations:  ## every representative with 20 tails behind it: where do plans depend on what follows? (half an hour)
	for k in 1 2 3 4 5 6 7 8; do $(PYTHON) tests/sweep_continuations.py --part $$k/8 || exit 1; done

schema:  ## the published JSON Schemas, from the types of the results
	$(PYTHON) -c "from verify.report.schemas import write; write()"

promote:  ## rewrite the golden reports from what the program prints now
	UBP_VERIFY_PROMOTE=1 $(PYTHON) -m pytest tests/golden
