"""People: records of every kind as the rules of resolve see them, and worlds made of them."""

from hypothesis import strategies as st

from worker.domain.fold import fold
from worker.domain.grouping import Limits
from worker.domain.record import Record
from worker.domain.registers import ABOUT, CREATED, of_slot
from worker.domain.statements import ProfileStatement, RemovalStatement
from worker.domain.terms import API_SOURCE, EDIT, GUEST, Decision, Stamp, kind_of

LIMITS = Limits(crowd=3, component=50)
PHONES = [("phone", f"+628127350914{n}") for n in range(3)]
EMAILS = [("email", f"{name}@example.com") for name in ("ayu", "budi", "citra", "noreply")]
LINE = ("line", "U1")
NAMES = ["Ayu Sari", "Sari", "Budi Hartono"]
REMOVED = 5  #: when removed records were removed; created at another number of the same clock


def a_stamp(at):
    return Stamp(at, at, f"d{at}", 0, f"{at:032x}")


def a_record(source, external_id, *idents, created=0, name=None, once=(), proven=(), removed=None):
    """Return a record that claims ``idents``; it claimed ``once`` before, and its source has proof of ``proven``."""

    def slots(claimed):
        return {of_slot(str(n)): (*ident, ident[1], ident in proven) for n, ident in enumerate(claimed)}

    registers = {of_slot(str(n)): None for n in range(len(once))} | slots(idents)
    if created is not None:
        registers[CREATED] = created
    if name is not None:
        registers["name"] = name
    record = Record(source, external_id, kind_of((source, external_id)))
    fold(record, [ProfileStatement(a_stamp(1), slots(once)), ProfileStatement(a_stamp(2), registers)])
    if removed is not None:
        fold(record, [RemovalStatement(a_stamp(removed))])
    return record


def a_guest(source, key, *given, **more):
    """Return a buyer without a customer, who is known by ``key`` and gave other identifiers beside it."""
    return a_record(source, f"{GUEST}{key[0]}:{key[1]}", key, *given, **more)


def a_person(external_id, *idents, **more):
    """Return a person that the API created."""
    return a_record(API_SOURCE, external_id, *idents, created=None, **more)


def an_edit(name, about, *idents):
    """Return an edit of somebody who had the records ``about``."""
    record = a_record(API_SOURCE, f"{EDIT}{name}", *idents, created=None)
    fold(record, [ProfileStatement(a_stamp(3), {ABOUT: [list(ref) for ref in about]})])
    return record


def mentioned(source, external_id):
    """Return a record of a customer whose profile was never seen."""
    return Record(source, external_id, kind_of((source, external_id)))


def link(a, b, at=1):
    return Decision("link", a, b, at, "")


def apart(a, b, at=1):
    return Decision("apart", a, b, at, "")


def merge(kept, lost, at=1):
    return Decision("source_merge", kept, lost, at, "")


@st.composite
def records(draw, edits=True):
    """Draw records, each with a key of its own."""
    idents = st.sampled_from([*PHONES, *EMAILS, LINE])
    found = {}
    for _ in range(draw(st.integers(1, 9))):
        some = draw(st.lists(idents, unique=True, max_size=3))
        source = draw(st.sampled_from("abc"))
        number = draw(st.integers(0, 5))
        more = {
            "created": draw(st.sampled_from([None, 0, 1, REMOVED + 1])),
            "name": draw(st.sampled_from([None, *NAMES])),
            "proven": draw(st.sets(idents, max_size=1)),
            "removed": draw(st.sampled_from([None, None, None, REMOVED])),
        }
        kind = draw(st.integers(0, 9 if edits else 7))
        if kind < 4:
            once = draw(st.lists(idents, unique=True, max_size=1))
            record = a_record(source, str(number), *some, once=once, **more)
        elif kind < 6:
            record = a_guest(source, draw(idents.filter(lambda ident: ident != LINE)), *some, **more)
        elif kind == 6:
            record = a_person(str(number), *some, name=more["name"], removed=more["removed"])
        elif kind == 7:
            record = mentioned(source, str(number))
        else:
            others = [ref for ref, known in found.items() if known.kind != "edit"]
            refs = st.sampled_from([*others, (source, str(number))])
            record = an_edit(str(number), draw(st.lists(refs, unique=True, min_size=1, max_size=2)), *some[:1])
        found[record.ref] = record
    return list(found.values())


@st.composite
def decisions(draw, refs):
    """Draw decisions about these records."""
    found = []
    if len(refs) > 1:
        for n in range(draw(st.integers(0, 4))):
            a, b = draw(st.lists(st.sampled_from(refs), unique=True, min_size=2, max_size=2))
            kind = draw(st.sampled_from(["link", "apart", "source_merge"]))
            b = b if kind != "source_merge" else (a[0], b[1])
            if a != b:
                found.append(Decision(kind, a, b, draw(st.integers(0, 2)), str(n)))
    return found


@st.composite
def worlds(draw):
    """Draw (records, decisions about them)."""
    people = draw(records())
    return people, draw(decisions([record.ref for record in people if record.kind != "edit"]))
