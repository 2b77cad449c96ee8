"""Rows sent by COPY: Arrow's record batches in PostgreSQL's binary format."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import psycopg
import pyarrow as pa
import sqlalchemy as sa
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg import sql

from destination.ahead import ahead, handing_over
from destination.cancellation import Cancellation
from destination.progress import Progress
from destination.warehouse.postgres.driver import driver_of, names_of, sqlalchemy_error
from destination.warehouse.postgres.errors import explain_copy

PART_SECONDS = 1
"""How long each COPY lasts where something is done between them."""
END = b"\xff\xff"
"""Ends each COPY."""


@dataclass(slots=True)
class Copying:
    """Appends rows to a table.

    Args:
        connection: the transaction's.
        target: the table.
        columns: its columns, in the order of the record batches' fields.
        cancellation: gives the work up.
        progress: counts the rows that are sent.
        between: what is done about every second, while no statement runs; None if nothing is.
    """

    connection: sa.Connection
    target: sa.Table
    columns: Sequence[sa.Column[Any]]
    cancellation: Cancellation
    progress: Progress
    between: Callable[[], None] | None = None
    _stored: int = 0

    def append(self, batches: Iterable[pa.RecordBatch]) -> int:
        """Append record batches.

        Returns:
            How many rows they held.

        Raises:
            BatchFileError: with the number of the row that PostgreSQL refuses.
        """
        batches = iter(batches)
        first = list(islice(batches, 1))
        if not first:
            return 0
        schema = first[0].schema
        encoder = ArrowToPostgresBinaryEncoder(schema)
        header, rows = encoder.write_header(), 0

        def encode(batch: pa.RecordBatch) -> bytes:
            nonlocal rows
            rows += batch.num_rows
            self.progress.rows += batch.num_rows
            return encoder.write_batch(batch)

        encoded = map(encode, chain(handing_over(first), batches))
        last = (encoder.finish().removesuffix(END) for _ in range(1))
        with closing(ahead(chain(encoded, last), "encoder", len)) as pieces:
            while self._part(header, pieces, schema.names):
                if self.between is not None:
                    self.between()
        return rows

    def _part(self, header: bytes, pieces: Iterator[bytes], names: Sequence[str]) -> bool:
        """Send some of the rows by one COPY; says whether there may be more."""
        template = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)")
        statement = template.format(*names_of(self.target, self.columns))
        driver = driver_of(self.connection)
        try:
            with driver.cursor() as cursor:
                with cursor.copy(statement) as copy:
                    copy.write(header)
                    more = self._write(copy, pieces)
                    copy.write(END)
                self._stored += cursor.rowcount
        except psycopg.Error as error:
            stored = [column.name for column in self.columns]
            named = dict(zip(stored, names, strict=True))
            refused = explain_copy(error, self.target.name, named, self._stored)
            if refused is not None:
                raise refused from error
            raise sqlalchemy_error(driver, error, statement.as_string()) from error
        return more

    def _write(self, copy: psycopg.Copy, pieces: Iterator[bytes]) -> bool:
        until = None if self.between is None else time.monotonic() + PART_SECONDS
        for piece in pieces:
            self.cancellation.check()
            copy.write(memoryview(piece))
            self.progress.bytes += len(piece)
            del piece
            if until is not None and time.monotonic() > until:
                return True
        return False
