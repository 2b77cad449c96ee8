"""Iterators whose next item is made in another thread while one is used."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")

LARGE_ITEM_BYTES = 16 << 20


def handing_over(items: list[Item]) -> Iterator[Item]:
    """The items of a list, none of which it keeps."""
    while items:
        yield items.pop(0)


def ahead(items: Iterator[Item], name: str, size: Callable[[Item], int]) -> Generator[Item]:
    """The same items; the next one is made in a thread while the caller uses the current one.

    After a large item, the next one is made only when the caller asks for it, and no reference to the
    current one is kept: two large items would not fit in memory.

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
            large = size(item) > LARGE_ITEM_BYTES
            if not large:
                made.append(make())
            del item
            yield made.pop(0).result()  # type: ignore[misc]
            if large:
                made.append(make())
