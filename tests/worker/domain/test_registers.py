"""Registers: a custom field of any name has a register of its own."""

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
def test_a_register_leads_back_to_the_whole_name_of_its_field(name):
    register = registers.of_field(name)

    assert registers.is_field(register)
    assert registers.place_of(register) == FieldPlace(name, None, register)


@given(names, names)
def test_two_fields_never_share_a_register(a, b):
    assert (registers.of_field(a) == registers.of_field(b)) == (a == b)


def test_a_dotted_register_is_an_entry_of_a_field():
    assert registers.place_of("segments.3") == FieldPlace("segments", "3", "segments")


def test_names_identifiers_and_creation_times_are_no_custom_fields():
    for register in ("name", "first_name", "last_name", registers.CREATED, registers.of_slot("email")):
        assert not registers.is_field(register)
    assert registers.is_identifier(registers.of_slot("email"))
    assert registers.place_of(registers.as_given("phone")).name == "phone_as_given"
