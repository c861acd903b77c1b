"""The Contacts API of the baseline: FastAPI, the async ORM, one transaction for each request, a key checked each time.

It is ordinary, and wrong in the ordinary ways: two requests at once make two contacts, nothing has a history, and
nobody's consent is known. It uses DATABASE_URL, and has tables of its own.
"""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from fastapi import Depends, FastAPI, Header, HTTPException
from phonenumbers import PhoneNumberFormat
from pydantic import BaseModel
from sqlalchemy import BigInteger, DateTime, ForeignKey, UniqueConstraint, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload


class Base(DeclarativeBase):
    pass


class ApiKey(Base):
    __tablename__ = "ordinary_keys"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    secret_hash: Mapped[str] = mapped_column(unique=True)


class Contact(Base):
    __tablename__ = "ordinary_contacts"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str | None]
    phone_number: Mapped[str | None]
    email: Mapped[str | None]
    external_source: Mapped[str | None]
    external_id: Mapped[str | None]
    custom_fields: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    identities: Mapped[list["Identity"]] = relationship(back_populates="contact")


class Identity(Base):
    __tablename__ = "ordinary_identities"
    __table_args__ = (UniqueConstraint("kind", "source", "value"),)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    kind: Mapped[str]
    source: Mapped[str]
    value: Mapped[str]
    contact_id: Mapped[int] = mapped_column(ForeignKey("ordinary_contacts.id"), index=True)
    contact: Mapped[Contact] = relationship(back_populates="identities")


class ContactIn(BaseModel):
    phone_number: str | None = None
    name: str | None = None
    email: str | None = None
    external_source: str | None = None
    external_id: str | None = None
    custom_fields: dict[str, Any] = {}


class IdentifierIn(BaseModel):
    type: str
    value: str
    source: str | None = None


class ResolveIn(BaseModel):
    identifiers: list[IdentifierIn]


class ContactOut(BaseModel):
    id: str
    phone_number: str | None
    name: str | None
    email: str | None
    external_source: str | None
    external_id: str | None
    custom_fields: dict[str, Any]
    updated_at: datetime

    @classmethod
    def of(cls, row: Contact) -> "ContactOut":
        shown = {name: getattr(row, name) for name in cls.model_fields if name != "id"}
        return cls(id=f"cnt_{row.id}", **shown)


class Answer(BaseModel):
    data: ContactOut


app = FastAPI()
_engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=16, max_overflow=0)
_sessions = async_sessionmaker(_engine, expire_on_commit=False)


async def _session() -> AsyncIterator[AsyncSession]:
    async with _sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(_session)]


async def _caller(session: Session, x_api_key: Annotated[str, Header()]) -> ApiKey:
    key = await session.scalar(select(ApiKey).where(ApiKey.secret_hash == sha256(x_api_key.encode()).hexdigest()))
    if key is None:
        raise HTTPException(401, "invalid API key")
    return key


Caller = Annotated[ApiKey, Depends(_caller)]


def _phone(value: str) -> str:
    try:
        number = phonenumbers.parse(value if value.startswith("+") else f"+{value}", None)
    except phonenumbers.NumberParseException:
        raise HTTPException(422, "phone_number") from None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def _email(value: str) -> str:
    try:
        return validate_email(value, check_deliverability=False).normalized.lower()
    except EmailNotValidError:
        raise HTTPException(422, "email") from None


def _key_of(one: IdentifierIn) -> tuple[str, str, str]:
    if one.type == "phone":
        return ("phone", "", _phone(one.value))
    if one.type == "email":
        return ("email", "", _email(one.value))
    return ("external_id", one.source or "", one.value)


@app.post("/v1/contacts")
async def upsert(given: ContactIn, session: Session, _: Caller) -> Answer:
    keys = []
    if given.external_source and given.external_id:
        keys.append(("external_id", given.external_source, given.external_id))
    if given.phone_number:
        given.phone_number = _phone(given.phone_number)
        keys.append(("phone", "", given.phone_number))
    if given.email:
        given.email = _email(given.email)
        keys.append(("email", "", given.email))
    contact: Contact | None = None
    known = set()
    for key in keys:
        query = select(Identity).options(selectinload(Identity.contact)).where(*_is(key))
        identity = await session.scalar(query)
        if identity is not None:
            contact = contact or identity.contact
            known.add(key)
    now = datetime.now(UTC)
    if contact is None:
        contact = Contact(**given.model_dump(), updated_at=now)
        session.add(contact)
        await session.flush()
    else:
        for name, value in given.model_dump(exclude_unset=True).items():
            setattr(contact, name, value)
        contact.updated_at = now
    for key in keys:
        if key not in known:
            session.add(Identity(kind=key[0], source=key[1], value=key[2], contact_id=contact.id))
    await session.commit()
    return Answer(data=ContactOut.of(contact))


@app.post("/v1/contacts/resolve")
async def resolve(given: ResolveIn, session: Session, _: Caller) -> Answer:
    found: dict[int, Contact] = {}
    for one in given.identifiers:
        contact = await session.scalar(select(Contact).join(Identity).where(*_is(_key_of(one))))
        if contact is not None:
            found[contact.id] = contact
    if not found:
        raise HTTPException(404, "contact not found")
    if len(found) > 1:
        raise HTTPException(409, "contact identifiers resolve to different contacts")
    return Answer(data=ContactOut.of(next(iter(found.values()))))


@app.get("/v1/contacts/{contact_id}")
async def get(contact_id: str, session: Session, _: Caller) -> Answer:
    contact = await session.get(Contact, int(contact_id.removeprefix("cnt_")))
    if contact is None:
        raise HTTPException(404, "contact not found")
    return Answer(data=ContactOut.of(contact))


def _is(key: tuple[str, str, str]) -> tuple[Any, ...]:
    return (Identity.kind == key[0], Identity.source == key[1], Identity.value == key[2])


@app.get("/readyz")
async def ready() -> dict[str, bool]:
    return {"ready": True}
