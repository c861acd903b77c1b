"""The worker of the baseline. It uses DATABASE_URL and BASELINE_BROKER_URL, and has tables of its own."""

import os
from typing import Any, TypeVar

import phonenumbers
from celery import Celery
from phonenumbers import PhoneNumberFormat
from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

app = Celery("baseline", broker=os.environ["BASELINE_BROKER_URL"])
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=16,
    broker_connection_retry_on_startup=True,
)
engine = create_engine(os.environ["DATABASE_URL"], pool_size=2)


class Base(DeclarativeBase):
    pass


class Delivered(Base):
    __tablename__ = "baseline_delivered"
    delivery_id: Mapped[str] = mapped_column(primary_key=True)


class Contact(Base):
    __tablename__ = "baseline_contacts"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str | None]
    email: Mapped[str | None]
    phone: Mapped[str | None]


class Identity(Base):
    __tablename__ = "baseline_identities"
    __table_args__ = (UniqueConstraint("kind", "source", "value"),)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    kind: Mapped[str]
    source: Mapped[str]
    value: Mapped[str]
    contact_id: Mapped[int] = mapped_column(ForeignKey("baseline_contacts.id"))


class Tag(Base):
    __tablename__ = "baseline_tags"
    __table_args__ = (UniqueConstraint("contact_id", "name"),)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    contact_id: Mapped[int]
    name: Mapped[str]


class Consent(Base):
    __tablename__ = "baseline_consents"
    __table_args__ = (UniqueConstraint("contact_id", "channel"),)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    contact_id: Mapped[int]
    channel: Mapped[str]
    state: Mapped[str]
    updated_at: Mapped[str]


Row = TypeVar("Row", bound=Base)


def find(session: Session, table: type[Row], **by: Any) -> Row | None:
    return session.scalar(select(table).filter_by(**by))


@app.task(name="baseline.sync")  # type: ignore[untyped-decorator]  # Celery ships no types
def sync(delivery_id: str, body: dict[str, Any]) -> None:
    with Session(engine) as session:
        if session.get(Delivered, delivery_id) is None:
            session.add(Delivered(delivery_id=delivery_id))
            contact = _contact(session, body)
            _tags(session, contact, body)
            _consents(session, contact, body)
            session.commit()


def _contact(session: Session, body: dict[str, Any]) -> Contact:
    email, phone = body["email"].lower(), _e164(body["phone"])
    keys = [("external_id", "shopify", str(body["id"])), ("phone", "", phone), ("email", "", email)]
    contact = None
    for kind, source, value in keys:
        known = find(session, Identity, kind=kind, source=source, value=value)
        if known is not None:
            contact = session.get(Contact, known.contact_id)
            break
    if contact is None:
        contact = Contact()
        session.add(contact)
    contact.name = f"{body['first_name']} {body['last_name']}"
    contact.email, contact.phone = email, phone
    session.flush()  # gives a new contact its id
    for kind, source, value in keys:
        if find(session, Identity, kind=kind, source=source, value=value) is None:
            session.add(Identity(kind=kind, source=source, value=value, contact_id=contact.id))
    return contact


def _e164(text: str) -> str | None:
    number = phonenumbers.parse(text, "US")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164) if phonenumbers.is_valid_number(number) else None


def _tags(session: Session, contact: Contact, body: dict[str, Any]) -> None:
    for name in body["tags"].split(", "):
        if find(session, Tag, contact_id=contact.id, name=name) is None:
            session.add(Tag(contact_id=contact.id, name=name))


def _consents(session: Session, contact: Contact, body: dict[str, Any]) -> None:
    for channel in ("email", "sms"):
        consent = body[f"{channel}_marketing_consent"]
        state, at = consent["state"], consent["consent_updated_at"]
        known = find(session, Consent, contact_id=contact.id, channel=channel)
        if known is None:
            session.add(Consent(contact_id=contact.id, channel=channel, state=state, updated_at=at))
        elif known.updated_at < at:
            known.state, known.updated_at = state, at
