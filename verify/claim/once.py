"""A property that is computed once for each object.

`functools.cached_property` takes a lock on the way (Python 3.11), which costs as much as a short computation; objects
that use this one are of one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class once(Generic[T]):
    """The method's result, kept in the object's own dictionary under the method's name."""

    def __init__(self, computed: Callable[[Any], T]) -> None:
        self.computed, self.name = computed, computed.__name__
        self.__doc__ = computed.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> once[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> once[T] | T:
        if instance is None:
            return self
        value = instance.__dict__[self.name] = self.computed(instance)
        return value
