# ruff: noqa: RUF001 - letters of other scripts, and letters that look like ours, are what is tested
"""Names: spellings of one name are alike, and two records disagree only if both have said a name."""

import time
import unicodedata
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain import names

#: Names as people write them, in some scripts, with what surrounds them.
LETTERS = st.text(
    "abcdeilmnorstuyzåéñçößøłđABCDEFGİıабвгжійёАБВαβγςσ李王山太郎김철수박مح أمدرאבג", min_size=1, max_size=8
)
NAMES = st.lists(LETTERS, min_size=1, max_size=4).map(" ".join)
ANY_TEXT = st.text(max_size=30) | NAMES


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Ayu Lestari", ("ayu", "lestari")),
        ("  Dr. Ayu  L. ", ("ayu", "l")),
        ("Mr. & Mrs. García", ("garcia",)),
        ("O'Brien", ("obrien",)),
        ("O’Brien", ("obrien",)),
        ("Anne-Marie", ("anne", "marie")),
        ("J.R.R. Tolkien", ("j", "r", "r", "tolkien")),
        ("Straße Øster Łukasz", ("strasse", "oster", "lukasz")),
        ("IŞIL ışıl İpek", ("isil", "isil", "ipek")),
        ("Σίσυφος", ("σισυφοσ",)),
        ("Алексей Ёлкин", ("алексеи", "елкин")),
        ("王 小明", ("王", "小明")),
        ("김철수", ("김철수",)),
        ("ﾔﾏﾀﾞ", ("ヤマタ",)),
        ("مُحَمَّد", ("محمد",)),
        ("राम कुमार", ("राम", "कुमार")),
        ("Ayu2 99", ("ayu",)),
        ("Ｊｏｈｎ", ("john",)),
    ],
)
def test_tokens(name, found):
    assert names.tokens(name) == tuple(unicodedata.normalize("NFC", token) for token in found)


@pytest.mark.parametrize("name", ["", " ", "Dr.", "12345", "+62 812", "-", "🙂", "'", "\u0301", "Mr. & Mrs."])
def test_a_name_without_letters_has_no_tokens_and_is_like_nothing(name):
    assert names.tokens(name) == ()
    assert not names.are_alike(name, name)
    assert not names.disagree([name], ["Ayu"])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Ayu Lestari", "Lestari, Ayu"),
        ("Ayu L.", "Ayu Lestari"),
        ("A. Lestari", "Ayu Lestari"),
        ("Ayu", "Ayu Lestari"),
        ("Dr. Ayu Lestari", "ayu lestari"),
        ("García", "Garcia"),
        ("Müller", "Mueller"),
        ("Jon Smith", "John Smith"),
        ("Anne-Marie Duval", "Annemarie Duval"),
        ("O'Brien", "O Brien"),
        ("Al-Sayed", "Alsayed"),
        ("JRR Tolkien", "J.R.R. Tolkien"),
        ("李小龙", "李 小龙"),
        ("山田太郎", "太郎 山田"),
        ("김철수", "김 철수"),
        ("Алексей Петров", "ПЕТРОВ АЛЕКСЕЙ"),
        ("أحمد", "احمد"),
        ("Marta Martha", "Martha Marta"),
    ],
)
def test_spellings_of_one_name_are_alike(a, b):
    assert names.are_alike(a, b)
    assert not names.disagree([a], [b])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Ayu Lestari", "Budi Santoso"),
        ("Ayu Lestari", "Budi Lestari"),
        ("Ayu", "Budi Lestari"),
        ("Anna Anna", "Anna Bell"),  # one "Anna" is no partner for two
        ("A. A. Lestari", "Ayu Budi Lestari"),
        ("B. Lestari", "Ayu Lestari"),
        ("王伟", "王芳"),
        ("김철수", "이영희"),
        ("Иван", "Пётр"),
    ],
)
def test_names_of_two_people_are_not_alike(a, b):
    assert not names.are_alike(a, b)
    assert names.disagree([a], [b])


def test_a_token_gives_way_if_it_has_another_partner():
    # "Maria" fits both tokens, "Marian" only the first: the first free partner would leave one of them alone.
    for a in permutations(["Maria", "Mariana", "Bo"]):
        for b in permutations(["Mariana", "Mari", "Bo"]):
            assert names.are_alike(" ".join(a), " ".join(b))


def test_one_like_pair_among_many_names_is_enough():
    assert not names.disagree({"Ayu Lestari", "Ayu Santoso"}, {"Budi", "A. Santoso"})
    assert names.disagree({"Ayu Lestari", "Ayu Santoso"}, {"Budi", "C. Santoso"})


def test_records_without_a_name_disagree_with_nobody():
    assert not names.disagree([], [])
    assert not names.disagree([], ["Ayu"])
    assert not names.disagree(["123"], ["Ayu"])


def test_a_hostile_name_costs_little():
    long_a, long_b = " ".join(["ab" * 5_000] * 50), " ".join(f"{'ab' * 60}{n}" for n in range(5_000))
    started = time.perf_counter()
    names.disagree([long_a], [long_b])
    names.disagree([" ".join(["aab"] * 8) + " x"], [" ".join(["aac"] * 7) + " zz"])
    assert time.perf_counter() - started < 0.5
    assert len(names.tokens("a b c d e f g h i j")) == names.MAX_TOKENS


@given(ANY_TEXT, ANY_TEXT)
def test_likeness_is_the_same_both_ways(a, b):
    assert names.are_alike(a, b) is names.are_alike(b, a)
    assert names.disagree([a], [b]) is names.disagree([b], [a])


@given(ANY_TEXT)
def test_a_name_with_letters_is_like_itself(name):
    assert names.are_alike(name, name) is bool(names.tokens(name))


@given(ANY_TEXT)
def test_no_token_is_empty_or_has_other_than_letters_and_their_marks(name):
    for token in names.tokens(name):
        assert token
        assert all(unicodedata.category(character)[0] in "LM" for character in token)


@given(NAMES, st.randoms())
def test_order_does_not_matter(name, random):
    words = name.split()
    random.shuffle(words)
    assert sorted(names.tokens(" ".join(words))) == sorted(names.tokens(name))
    if names.tokens(name):
        assert names.are_alike(" ".join(words), name)


@given(NAMES)
def test_case_does_not_matter(name):
    assert names.tokens(name.upper()) == names.tokens(name.lower()) == names.tokens(name)


@given(NAMES, st.data())
def test_accents_do_not_matter(name, data):
    accents = st.sampled_from(["", "\u0301", "\u0308", "\u0327"])
    accented = "".join(
        letter + (data.draw(accents) if letter.isascii() and letter.isalpha() else "")
        for letter in unicodedata.normalize("NFC", name)
    )
    assert names.tokens(accented) == names.tokens(name)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert names.tokens(unicodedata.normalize(form, accented)) == names.tokens(name)


@given(NAMES, NAMES, NAMES, NAMES)
def test_another_name_never_makes_records_disagree(a, b, c, d):
    if not names.disagree([a], [b]) and names.tokens(a) and names.tokens(b):
        assert not names.disagree([a, c], [b, d])
