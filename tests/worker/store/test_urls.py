"""Reading URLs of Postgres: what platforms hand out works, and what is wrong is said without a value."""

import psycopg
import pytest

from worker.errors import ConfigError
from worker.store.urls import arguments, conninfo

SECRET = "hunter2"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg", "POSTGRES"])
def test_a_url_is_read_whatever_its_scheme_is_called(scheme):
    assert arguments(f" {scheme}://u:{SECRET}@h:5433/db?sslmode=verify-full\n") == {
        "user": "u",
        "password": SECRET,
        "host": "h",
        "port": "5433",
        "dbname": "db",
        "sslmode": "verify-full",
    }


@pytest.mark.parametrize(
    ("rest", "host", "port"),
    [
        ("h1:5432,h2:5433/db?target_session_attrs=read-write", "h1,h2", "5432,5433"),
        ("h1,h2/db?port=6432", "h1,h2", "6432"),
        ("[::1]:6432/db", "::1", "6432"),
        ("/db?host=/var/run/postgresql", "/var/run/postgresql", None),
        ("%2Fvar%2Frun%2Fpostgresql/db", "/var/run/postgresql", None),
    ],
)
def test_hosts_may_be_several_or_a_socket(rest, host, port):
    found = arguments(f"postgres://u:{SECRET}@{rest}")

    assert (found["host"], found.get("port"), found["dbname"]) == (host, port, "db")


def test_every_character_of_a_password_can_be_encoded():
    assert arguments("postgres://a%40b:%40%25%2F%3A%3F%23%20%26@h/db")["password"] == "@%/:?# &"
    assert arguments("postgres://a%40b:%40@h/db")["user"] == "a@b"


def test_what_was_read_is_what_the_driver_takes():
    given = conninfo("postgres://u:it's%20%5C@h:1/db?application_name=x")

    assert psycopg.conninfo.conninfo_to_dict(given)["password"] == "it's \\"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "not set"),
        ("   ", "not set"),
        (f"mysql://u:{SECRET}@h/db", "expected postgresql://"),
        (f"u:{SECRET}@h/db", "expected postgresql://"),
        (f'"postgres://u:{SECRET}@h/db"', "expected postgresql://"),
        (f"postgres://u:{SECRET}@x@h/db", "%40"),
        (f"postgres://u:{SECRET}%@h/db", "%25"),
        (f"postgres://u:{SECRET}%zz@h/db", "%25"),
        (f"postgres://u:{SECRET}%00@h/db", "%25"),
        (f"postgres://u:{SECRET}/x@h/db", "%2F"),
        (f"postgres://u:{SECRET}#x@h/db", "%23"),
        (f"postgres://u:{SECRET}@h:{SECRET}/db", "PORT"),
        (f"postgres://u:{SECRET}@h:99999/db", "PORT"),
        (f"postgres://u:{SECRET}@h1,h2,h3/db?port=1,2", "PORT"),
        (f"postgres://u:{SECRET}@[::1/db", "expected postgresql://"),
        (f"postgres://u:{SECRET}@h/db?sslmode={SECRET}", "sslmode"),
        (f"postgres://u:{SECRET}@h/db?target_session_attrs={SECRET}", "target_session_attrs"),
        (f"postgres://u:{SECRET}@h/db?{SECRET}={SECRET}", "libpq"),
        (f"postgres://u:{SECRET}\udcff@h/db", "expected postgresql://"),
        (f"postgres://u:{SECRET}\0@h/db", "expected postgresql://"),
    ],
)
def test_an_error_names_the_variable_and_quotes_nothing(url, expected):
    with pytest.raises(ConfigError) as raised:
        arguments(url)

    assert str(raised.value).startswith("DATABASE_URL")
    assert expected in str(raised.value)
    assert SECRET not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
