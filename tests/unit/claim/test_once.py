"""A property computed once an object."""

from dataclasses import dataclass

from verify.claim.once import once

CALLS: list[int] = []


@dataclass(frozen=True)
class Number:
    value: int

    @once
    def double(self) -> int:
        """Twice the value."""
        CALLS.append(self.value)
        return 2 * self.value


def test_it_is_computed_once_for_each_object_and_not_shared():
    CALLS.clear()
    one, other = Number(3), Number(4)
    assert [one.double, one.double, other.double, other.double] == [6, 6, 8, 8]
    assert CALLS == [3, 4]


def test_the_class_has_the_method_s_docstring():
    assert Number.double.__doc__ == "Twice the value."


def test_equality_is_of_the_fields_alone():
    assert Number(3).double == 6 and Number(3) == Number(3)
