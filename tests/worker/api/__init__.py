"""Helpers whose assertions pytest shall explain, as it does those of tests."""

import pytest

pytest.register_assert_rewrite("tests.worker.api.mirror", "tests.worker.api.one_person")
