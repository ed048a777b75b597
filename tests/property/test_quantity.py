"""Quantities: exact both ways."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import quantity


@given(st.integers(0, 1 << 62))
def test_bytes_survive_being_written_and_read(count):
    assert quantity.to_bytes(quantity.from_bytes(count)) == count


@given(st.integers(0, 10**9))
def test_millicpu_survive_being_written_and_read(millicpu):
    assert quantity.to_millicpu(quantity.from_millicpu(millicpu)) == millicpu


@given(st.integers(0, 10**6), st.sampled_from(["Ki", "Mi", "Gi", "k", "M", "G"]))
def test_a_suffix_multiplies_exactly(number, suffix):
    base, power = (1024, "KMG".index(suffix[0]) + 1) if suffix.endswith("i") else (1000, "kMG".index(suffix) + 1)

    assert quantity.parse(f"{number}{suffix}") == Decimal(number * base**power)


@given(st.text(max_size=40))
def test_any_text_is_a_quantity_or_is_refused_with_what_would_be(text):
    try:
        outcome = quantity.parse(text)
    except ValueError as error:
        outcome = str(error)

    assert outcome.is_finite() if isinstance(outcome, Decimal) else "quantity" in outcome


@given(st.decimals(0, 10**6, places=6))
def test_rounding_is_up_so_that_nobody_gets_less_than_asked(number):
    assert quantity.to_bytes(str(number)) >= number
    assert quantity.to_bytes(str(number)) - number < 1
    assert pytest.approx(quantity.to_millicpu(str(number)) / 1000, abs=0.001) == float(number)
