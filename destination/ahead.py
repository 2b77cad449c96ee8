"""Iterators whose next item is made in another thread while one is used."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")

LARGE_BYTES = 16 << 20


def handing_over(items: list[Item]) -> Iterator[Item]:
    """The items of a list, none of which it keeps."""
    while items:
        yield items.pop(0)


def ahead(items: Iterator[Item], name: str, size: Callable[[Item], int]) -> Generator[Item]:
    """The same items, each made in a thread of its own while the one before is used.

    Behind a large item nothing is made before it was used, and whoever uses an item alone holds it:
    several of a value of many megabytes would not fit in memory.

    Args:
        items: makes them; none is None.
        name: the thread's.
        size: tells how many bytes an item has.
    """
    with ThreadPoolExecutor(1, thread_name_prefix=name) as maker:

        def make() -> Future[Item | None]:
            return maker.submit(next, items, None)

        made = [make()]
        while (item := made[0].result()) is not None:
            large = size(item) > LARGE_BYTES
            if not large:
                made.append(make())
            del item
            yield made.pop(0).result()  # type: ignore[misc]
            if large:
                made.append(make())
