"""Registers: no name of a field means something else."""

from hypothesis import example, given
from hypothesis import strategies as st

from worker.domain import registers
from worker.domain.registers import FieldPlace

names = st.text(min_size=1, max_size=20)


@given(names)
@example("name")
@example("#created")
@example("@email")
@example("a.b")
@example("tag:vip")
@example("phone_as_given")
@example(":x")
def test_a_field_of_any_name_comes_back_whole(name):
    register = registers.of_field(name)

    assert registers.is_field(register)
    assert registers.place_of(register) == FieldPlace(name, None, register)


@given(names, names)
def test_two_fields_never_share_a_register(a, b):
    assert (registers.of_field(a) == registers.of_field(b)) == (a == b)


def test_a_dotted_register_is_an_entry_of_a_field():
    assert registers.place_of("segments.3") == FieldPlace("segments", "3", "segments")


def test_what_is_no_field():
    for register in ("name", "first_name", "last_name", registers.CREATED, registers.of_slot("email")):
        assert not registers.is_field(register)
    assert registers.is_identifier(registers.of_slot("email"))
    assert registers.place_of(registers.as_given("phone")).name == "phone_as_given"
