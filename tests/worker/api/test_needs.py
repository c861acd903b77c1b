"""What several operations need is loaded by one statement for all."""

import pytest

from worker.api import needs
from worker.api.errors import ApiError
from worker.api.needs import Need


class Loader:
    """Loads numbers, doubled, and notes what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, _tx, asked):
        self.asked.append(asked)
        return [2 * one for one in asked]


def test_operations_side_by_side_share_their_statements():
    load = Loader()

    def twice(number):
        once = yield Need(load, number)
        return (yield Need(load, once))

    def once(number):
        return (yield Need(load, number))

    assert needs.together(None, [twice(1), once(5), twice(3)]) == [4, 10, 12]
    assert load.asked == [[1, 5, 3], [2, 6]]


def test_who_is_refused_leaves_the_others():
    load = Loader()

    def refused():
        yield Need(load, 1)
        raise ApiError(404, "gone")

    def nothing():
        return "nothing"
        yield

    def going_on():
        yield Need(load, 2)
        return (yield Need(load, 3))

    first, second, third = needs.together(None, [refused(), nothing(), going_on()])

    assert (first.status_code, second, third) == (404, "nothing", 6)


def test_other_errors_end_all_of_it():
    def broken():
        raise LookupError
        yield

    with pytest.raises(LookupError):
        needs.together(None, [broken()])
