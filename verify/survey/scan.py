"""Every instruction of a file judged where it stands: which may be probed, which not, and why.

Where instructions begin is found by a linear sweep from every function's first byte; data between functions is read as
code, as disassemblers do.  Equal bytes are judged once; an instruction for which it matters what stands behind it is
judged with what does.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Final

from verify import __version__
from verify.causes.catalogue import CAUSES, Harm
from verify.causes.ordinary import is_emitted
from verify.causes.rows import row as cause_row
from verify.causes.words import error_name
from verify.claim.verdicts import Verdict
from verify.elf import Image, Place, Section
from verify.judge.encoding import Judge
from verify.models.schemes.scheme import Refuse, Scheme
from verify.models.x86.isa.assembly import assembly
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.isa.sweep import swept
from verify.models.x86.machine import OBSERVABLES
from verify.report.records import replaced
from verify.report.surveys import ClassifiedEncoding, EncodingVerdict, ExplainedPlace, Scan, ScanFinding, ScannedPlace
from verify.survey.encodings import NOTHING, KnownResults, Line, classified
from verify.survey.explanation import CPUS, brief_row, encoding_row
from verify.survey.selection import EVERYTHING, Selection

WINDOW: Final = 16  # bytes that a scheme may look at
ORDER: Final = ("refuted", "unknown", "refused", "invalid")  # of findings, the worst first
WRITTEN: Final = "the loader changes these bytes (text relocation), and what is run when probed is the file's"
Key = tuple[EncodingVerdict, str, str]  # verdict, name of the cause; where it has none, the reason
Group = list[tuple[ClassifiedEncoding, Sequence[int]]]  # encodings and where each stands
Told = Callable[[int], None]
Lost = Callable[[Sequence[Line], str], None]


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a section in which instructions are looked for; `entry`: the first one alone."""

    section: Section
    start: int
    end: int
    entry: bool = False


def nobody_told(_: int) -> None:
    """Nobody wants to know."""


def everything(image: Image) -> list[Span]:
    """All code, cut where functions begin."""
    return [
        Span(s, start, end)
        for s in image.sections
        for start, end in pairwise([*s.starts(), len(s.code)])
        if start < end
    ]


def entries(image: Image) -> list[Span]:
    """The first instruction of every function."""
    return [Span(s, f.at, min(f.at + WINDOW, len(s.code)), True) for s in image.sections for f in s.symbols]


def of_function(image: Image, name: str) -> list[Span]:
    """A function; where its size is not said, up to the next one.  Raises ValueError where there is none."""
    section, symbol = image.function(name)
    following = [at for at in section.starts() if at > symbol.at]
    end = symbol.at + symbol.size if symbol.size else min(following, default=len(section.code))
    return [Span(section, symbol.at, min(end, len(section.code)))]


def at_place(place: Place) -> Span:
    """The instruction at a place, whether or not a function or another instruction says that one begins there."""
    return Span(place.section, place.at, min(place.at + WINDOW, len(place.section.code)), True)


def static_probes(image: Image) -> list[Span]:
    """The instructions at which the file has statically defined probes."""
    places = (image.at_address(p.address) for p in image.probes)
    return [at_place(place) for place in places if place is not None]


def in_range(image: Image, low: int, high: int) -> list[Span]:
    """The code at file offsets from `low` up to `high`, without it; swept from the functions' first bytes."""
    return [
        Span(s.section, max(s.start, low - s.section.offset), min(s.end, high - s.section.offset))
        for s in everything(image)
        if s.start < high - s.section.offset and low - s.section.offset < s.end
    ]


@dataclass(frozen=True, slots=True)
class Setting:
    """What the instructions are judged under."""

    scheme: Scheme
    cpu: str
    assumptions: frozenset[str]
    jobs: int | None = None
    known: KnownResults = NOTHING
    selection: Selection = EVERYTHING

    @property
    def decoder(self) -> Cpu:
        """The vendor whose decoder finds the instructions' ends."""
        return CPUS[self.cpu][-1]


@dataclass(slots=True)
class _Found:
    """Where each encoding stands; `nowhere`: where no instruction begins; `written`: those that the loader changes."""

    places: dict[bytes, array[int]]
    nowhere: list[Place]
    written: dict[bytes, array[int]]


SECTION_SHIFT: Final = 48  # a place as one number: of the section, then the offset in it


def _swept(image: Image, spans: Iterable[Span], cpu: Cpu) -> _Found:
    numbers = {id(s): n << SECTION_SHIFT for n, s in enumerate(image.sections)}
    places: dict[bytes, array[int]] = defaultdict(lambda: array("Q"))
    written: dict[bytes, array[int]] = defaultdict(lambda: array("Q"))
    nowhere = []
    for span in spans:
        base, code = numbers[id(span.section)] + span.start, span.section.code[span.start : span.end]
        for at, length in swept(code, cpu):
            if length:
                group = written if span.section.is_relocated(span.start + at, length) else places
                group[code[at : at + length]].append(base + at)
            else:
                nowhere.append(Place(span.section, span.start + at))
            if span.entry:
                break
    return _Found(places, nowhere, written)


def scan(
    image: Image, spans: Iterable[Span], setting: Setting, shown: int, lost: Lost, told: Told = nobody_told
) -> Scan:
    """What is found in the spans; of each finding the first `shown` places.

    `lost`: see `classified`; `told` hears of how many instructions more there is a verdict.
    """
    found = _swept(image, spans, setting.decoder)
    groups: dict[Key, Group] = defaultdict(list)
    totals: Counter[EncodingVerdict] = Counter()
    left_out = 0
    for whole, places in chain(_judged(image, found, setting, lost), _changed(found, setting.scheme)):
        row = setting.selection.encoding(whole)
        told(len(places))
        totals[row.verdict] += len(places)
        counted = _counted(image, row, places, setting) if row.verdict != "proved" else ()
        left_out += len(places) - len(counted) if row.verdict != "proved" else 0
        if counted:
            groups[_key(row)].append((row, counted))
    findings = [_finding(image, group, shown, setting) for group in groups.values()]
    findings += _no_instructions(found.nowhere, shown)
    if found.nowhere:
        totals["invalid"] += len(found.nowhere)
    return Scan(
        version=__version__, file=image.path, kind=image.kind, relocatable=image.is_relocatable,
        scheme=setting.scheme.name, cpu=setting.cpu, assumptions=tuple(sorted(setting.assumptions)),
        instructions=sum(map(len, (*found.places.values(), *found.written.values()))),
        distinct=len(found.places | found.written),
        totals=dict(totals), left_out=left_out,
        findings=tuple(sorted(findings, key=_worst_first)),
    )  # fmt: skip


def _key(row: ClassifiedEncoding) -> Key:
    """What a finding is told by; which processors lack the instruction is a remark on it."""
    return row.verdict, row.cause, "" if row.cause else row.reason.partition("; undefined on")[0]


def _counted(image: Image, row: ClassifiedEncoding, places: Sequence[int], setting: Setting) -> Sequence[int]:
    """The places that count; only what is refuted or refused can be left out."""
    selection = setting.selection
    if row.verdict not in {"refuted", "refused"} or selection == EVERYTHING:
        return places
    emitted = not selection.only_emitted or is_emitted(bytes.fromhex(row.bytes), CPUS[setting.cpu])
    names = ((p, f"{_place(image, p)} {row.bytes}") for p in places)
    return [p for p, name in names if selection.counts(name, row.cause, emitted, row.observables)]


def _worst_first(finding: ScanFinding) -> tuple[int, int, int]:
    verdict = ORDER.index(finding.verdict) if finding.verdict in ORDER else len(ORDER)
    harm = Harm(finding.cause.harm).rank if finding.cause is not None else len(Harm)
    return verdict, harm, -finding.instructions


def _changed(found: _Found, scheme: Scheme) -> Iterator[tuple[ClassifiedEncoding, Sequence[int]]]:
    """What the loader changes: by a scheme that runs the file's instruction it is another one."""
    verdict, reason = _of_written(scheme)
    for data, places in found.written.items():
        yield ClassifiedEncoding(bytes=data.hex(), verdict=verdict, observables=(), reason=reason), places


def _judged(
    image: Image, found: _Found, setting: Setting, lost: Lost
) -> Iterator[tuple[ClassifiedEncoding, Sequence[int]]]:
    """Each encoding with its row and where it stands; apart where it matters what stands behind it."""
    lines = ((n, data.hex().encode()) for n, data in enumerate(found.places, start=1))
    answers = classified(lines, setting.scheme, setting.cpu, setting.assumptions, setting.jobs, setting.known, lost)
    judge = setting.known.judge(setting.scheme, setting.assumptions)
    for (data, places), answer in zip(found.places.items(), answers, strict=True):
        if not answer.row.looks_behind:
            yield answer.row, places
            continue
        for packed in places:
            row = brief_row(_window(_place(image, packed)), judge, CPUS[setting.cpu]).row
            yield replaced(row, bytes=data.hex()), [packed]


def _place(image: Image, packed: int) -> Place:
    return Place(image.sections[packed >> SECTION_SHIFT], packed & (1 << SECTION_SHIFT) - 1)


def _window(place: Place) -> bytes:
    return place.section.window(place.at, WINDOW)


def _finding(image: Image, group: Group, shown: int, setting: Setting) -> ScanFinding:
    row, scheme = group[0][0], setting.scheme
    cause = cause_row(CAUSES[row.cause], scheme) if row.cause else None
    first = sorted(
        ((packed, r) for r, places in group for packed in places[:shown]), key=lambda found: found[0]
    )[:shown]
    refuted = {o for r, _ in group for o in r.observables}
    return ScanFinding(
        verdict=row.verdict, observables=tuple(o for o in OBSERVABLES if o in refuted),
        reason=cause.happens if cause is not None else _key(row)[2], cause=cause,
        instructions=sum(len(places) for _, places in group), distinct=len(group),
        places=tuple(_shown(_place(image, packed), r, setting.decoder) for packed, r in first),
    )  # fmt: skip


def _shown(place: Place, row: ClassifiedEncoding, cpu: Cpu) -> ScannedPlace:
    decoded = decode(bytes.fromhex(row.bytes), cpu)
    return ScannedPlace(
        place=str(place), address=place.address, offset=place.offset, bytes=row.bytes,
        text=assembly(decoded) if isinstance(decoded, Decoded) else "", verdict=row.verdict,
        observables=row.observables, reason=row.reason, cause=row.cause,
    )  # fmt: skip


def _of_written(scheme: Scheme) -> tuple[EncodingVerdict, str]:
    """What is said of an instruction that the loader changes: by a scheme that runs the file's it is another one."""
    if any(e.name == "code-as-in-file" for e in scheme.entries):
        return "refuted", WRITTEN
    return "unknown", "the loader changes these bytes (text relocation)"


NOWHERE: Final = "no instruction begins here: data, or a function that ends within one"


def _no_instructions(nowhere: Sequence[Place], shown: int) -> list[ScanFinding]:
    if not nowhere:
        return []
    rows = [
        ClassifiedEncoding(bytes=f"{p.section.code[p.at]:02x}", verdict="invalid", observables=(), reason=NOWHERE)
        for p in nowhere[:shown]
    ]
    finding = ScanFinding(
        verdict="invalid", observables=(), reason=NOWHERE, instructions=len(nowhere),
        distinct=len({p.section.code[p.at] for p in nowhere}),
        places=tuple(_shown(p, row, Cpu.INTEL) for p, row in zip(nowhere, rows, strict=False)),
    )  # fmt: skip
    return [finding]


def explained(image: Image, place: Place, setting: Setting) -> ExplainedPlace:
    """What a probe at the place meets, whether or not an instruction begins there."""
    judge = Judge(setting.scheme, setting.assumptions)
    begin, length = _instruction_at(place, setting.decoder)
    window = _window(place)
    own = next(swept(window, setting.decoder), (0, 0))[1] or len(window)
    encoding = encoding_row(window[:own], judge, CPUS[setting.cpu], window[own:])
    inside = ""
    if begin != place.at:
        outer = decode(place.section.code[begin : begin + length], setting.decoder)
        shown = assembly(outer) if isinstance(outer, Decoded) else "?"
        inside = f"byte {place.at - begin} of {length} of {shown} at {Place(place.section, begin)}"
    return ExplainedPlace(
        file=image.path, place=str(place), address=place.address, offset=place.offset, inside=inside,
        remarks=tuple(_remarks(image, place)),
        answer=_answer(setting.scheme, place, own, inside, encoding.verdict), encoding=encoding,
    )  # fmt: skip


JUMP: Final = 5  # bytes of a jump by which a hook takes a place over


def _remarks(image: Image, place: Place) -> Iterator[str]:
    """What hinders a hook or a probe there besides the instruction."""
    symbol = place.section.symbol_before(place.at)
    if symbol is not None and symbol.size and 0 < (room := symbol.at + symbol.size - place.at) < JUMP:
        yield f"{room} bytes up to the end of {symbol.name}: a jump of {JUMP} bytes does not fit"
    for sequence in image.sequences:
        if sequence.start <= place.address < sequence.end:
            yield (
                f"inside a restartable sequence, {sequence.start:#x} to {sequence.end:#x}: a thread that is preempted "
                "in the hit is not sent to its abort handler (not-restartable); probe outside of it"
            )
    for probe in image.probes:
        if probe.address == place.address:
            yield f"the statically defined probe {probe.name}"


def _instruction_at(place: Place, cpu: Cpu) -> tuple[int, int]:
    """Where the instruction begins in which the place lies, and its length; the place itself where none is found."""
    section = place.section
    start = max(at for at in section.starts() if at <= place.at)
    end = min((at for at in section.starts() if at > place.at), default=len(section.code))
    for at, length in swept(section.code[start:end], cpu):
        if start + at <= place.at < start + at + max(length, 1):
            return start + at, length
    return place.at, 0


def _answer(scheme: Scheme, place: Place, length: int, inside: str, verdict: str) -> str:
    plan = scheme.plan(_window(place))
    if isinstance(plan, Refuse):
        return f"refused with {error_name(plan.errno)}: {plan.reason}"
    if inside:
        return "accepted, and wrong: no instruction begins here; the one around it runs with a byte replaced"
    if place.section.is_relocated(place.at, length):
        return f"accepted: {_of_written(scheme)[1]}"
    if verdict == Verdict.REFUTED.value:
        return "accepted, and the program can notice it"
    return "accepted"
