from decimal import Decimal

import pytest

from api import quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("1.5", "1.5"),
        ("100m", "0.1"),
        ("1Ki", 1024),
        ("1k", 1000),
        ("2e3", 2000),
        (".5Gi", 536870912),
        (" 1 ", 1),
    ],
)
def test_a_quantity_is_the_number_that_it_says(text, number):
    assert quantity.parse(text) == Decimal(number)


@pytest.mark.parametrize(
    "text", ["", "512mb", "1 Gi", "Mi", "1e400", "0x10", "1_000", "NaN", "Infinity", "1.2.3", "9" * 40]
)
def test_what_is_no_quantity_is_refused_with_the_suffixes_there_are(text):
    with pytest.raises(ValueError, match=r"as a quantity: (use a number with Ki, Mi|its exponent is out of range)"):
        quantity.parse(text)


def test_bytes_and_cores_are_rounded_up():
    assert quantity.to_bytes("0.1") == 1
    assert quantity.to_millicpu("0.0001") == 1


def test_bytes_are_written_in_the_largest_unit_that_is_exact():
    assert [quantity.from_bytes(n) for n in (0, 1023, 1024, 3 << 29, 1 << 40)] == ["0", "1023", "1Ki", "1536Mi", "1Ti"]


@pytest.mark.parametrize(
    "text", ["\N{ARABIC-INDIC DIGIT FIVE}Gi", "1\N{FULLWIDTH DIGIT ZERO}", "1e\N{DEVANAGARI DIGIT TWO}"]
)
def test_digits_of_other_scripts_are_no_quantity(text):
    with pytest.raises(ValueError, match="cannot read"):
        quantity.parse(text)
