"""Terms: the tags of contacts and the words of their names, by which lists are filtered and searched."""

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from uuid import UUID

from sqlalchemy import TextClause

from connectors.cleaning import is_normalisable, normalised
from worker.domain.rows import TermsChange
from worker.store.batch_writer import array, columns_of, keys_of, rows_of
from worker.store.db import Tx, sql

_WORD = re.compile(r"\w+")
#: characters; an entry of a b-tree index holds 2,704 bytes, and a character takes up to four, beside the organization
_MAX_TAG = 600
_MAX_WORD = 64
_MAX_WORDS = 12

# All terms of a contact travel as one value, so that the id of the contact is sent once and its terms stay in order.
_INSERT_NEW = sql(f"""
    INSERT INTO contact_terms (organization_id, term, contact_id)
    SELECT :organization_id, unnest(CAST(terms AS text[])), contact_id
      FROM {rows_of(contact_id="uuid", terms="text")}
""")
# A contact's id may have been in use before, with terms that another release derived and that are still there.
_INSERT = sql(f"""
    INSERT INTO contact_terms (organization_id, term, contact_id)
    SELECT :organization_id, term, contact_id FROM {rows_of(term="text", contact_id="uuid")}
        ON CONFLICT DO NOTHING
""")

_DELETE = sql(f"""
    DELETE FROM contact_terms t USING {keys_of(contact_id="uuid", term="text")}
     WHERE t.organization_id = new.organization_id AND t.term = new.term AND t.contact_id = new.contact_id
""")

_IS_USED = sql("""
    SELECT EXISTS (SELECT FROM contact_terms WHERE organization_id = :organization_id AND term = :term)
""")


@lru_cache(maxsize=4096)
def tag_term(tag: str) -> str:
    """Return the term of a tag, the same for upper and lower case."""
    return "t:" + tag.casefold()[:_MAX_TAG]


def words(text: str) -> list[str]:
    """Return the words of a name or a search."""
    plain = normalised("NFKC", text) if is_normalisable(text) else text
    matches = _WORD.findall(plain.casefold())
    return [word[:_MAX_WORD] for word in matches[:_MAX_WORDS]]


def word_prefix(word: str) -> str:
    """Return the beginning of the terms of all words that begin with ``word``."""
    return "w:" + word


def terms_of(name: str | None, tags: Iterable[str]) -> set[str]:
    """Return all terms of a contact."""
    found = {word_prefix(word) for word in words(name)} if name else set()
    found.update(map(tag_term, tags))
    return found


def ensure(tx: Tx, pairs: Collection[tuple[str, UUID]]) -> None:
    """Add terms of contacts; a term that is stored already changes nothing."""
    _run(tx, pairs, _INSERT)


def encode(name: str | None, tags: Iterable[str]) -> str:
    """Return all terms of a contact as one value, as ``insert_new`` takes it."""
    return array(sorted(terms_of(name, tags)))


def insert_new(tx: Tx, terms: Collection[tuple[UUID, str]]) -> None:
    """Add all terms of new contacts: (contact, its terms as ``encode`` returns them).

    There is no conflict clause, which would cost as much as the row.
    """
    # In order of contacts, so that one of the two indexes grows at its end. Integers compare ten times as fast as
    # UUIDs.
    if terms:
        tx.run(_INSERT_NEW, columns_of(sorted(terms, key=lambda pair: pair[0].int), "contact_id", "terms"))


def update(tx: Tx, contacts: Iterable[TermsChange]) -> None:
    """Bring the terms of contacts in line with their names and tags."""
    before: set[tuple[str, UUID]] = set()
    after: set[tuple[str, UUID]] = set()
    for contact in contacts:
        before |= _pairs(contact.contact_id, contact.before)
        after |= _pairs(contact.contact_id, contact.after)
    delete(tx, before - after)
    ensure(tx, after - before)


def _pairs(contact_id: UUID, shown: tuple[str | None, list[str]] | None) -> set[tuple[str, UUID]]:
    return set() if shown is None else {(term, contact_id) for term in terms_of(*shown)}


def delete(tx: Tx, pairs: Collection[tuple[str, UUID]]) -> None:
    """Delete terms of contacts."""
    _run(tx, pairs, _DELETE)


def _run(tx: Tx, pairs: Collection[tuple[str, UUID]], statement: TextClause) -> None:
    if pairs:
        ordered = sorted(pairs, key=lambda pair: (pair[1].int, pair[0]))  # as in insert_new
        tx.run(statement, columns_of(ordered, "term", "contact_id"))


def is_used(tx: Tx, term: str) -> bool:
    """Return whether any contact has a term."""
    return bool(tx.run(_IS_USED, {"term": term}).scalar_one())
