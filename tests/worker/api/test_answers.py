"""Answers: what is answered is counted once, and kept while Postgres is away."""

import asyncio
import os

import pytest
from sqlalchemy.exc import SQLAlchemyError

from tests.flows.stack import wait_until
from tests.worker.api import test_health
from worker.api import answers as counting
from worker.api import health
from worker.api.answers import Answers
from worker.store import counts, db


@pytest.fixture
def answers(engine, monkeypatch):
    monkeypatch.setattr(counting, "_TELL_AFTER_S", 0.01)
    return Answers()


def counted(engine):
    with engine.connect() as conn:
        return counts.load(conn)


def test_answers_are_stored_by_themselves_after_a_while(engine, answers):
    async def answer():
        for status in (200, 200, 401):
            answers.count(status)
        await asyncio.to_thread(wait_until, lambda: counted(engine), 20)
        answers.count(200)
        await asyncio.to_thread(wait_until, lambda: counted(engine)["ingested/200"] == 3, 20)

    asyncio.run(answer())

    assert counted(engine) == {"ingested/200": 3, "ingested/401": 1}


def test_while_postgres_is_away_answers_are_kept(engine, answers, monkeypatch):
    async def answer():
        with monkeypatch.context() as away:
            away.setitem(db._engines, (os.getpid(), "all"), db.make_engine("postgresql://nobody@127.0.0.1:1/nothing"))
            answers.count(503)
            with pytest.raises(SQLAlchemyError):
                await answers.tell()
        answers.count(503)
        await answers.tell()
        await answers.tell()

    asyncio.run(answer())

    assert counted(engine) == {"ingested/503": 2}


def test_metrics_have_what_the_process_answered_just_now(app, engine, monkeypatch):
    answers = Answers()
    monkeypatch.setattr(health, "answers", answers)

    async def answer():
        answers.count(404)

    asyncio.run(answer())

    assert counted(engine) == {}
    assert 'contactsync_ingested_total{answer="404"} 1.0' in test_health.metrics(app).text
