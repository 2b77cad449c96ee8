"""The mark of a column that this project made.

Comments are the customer's to edit, and a dump may leave them out. An option of a column outlives both.
`n_distinct_inherited` sets how many distinct values ANALYZE assumes in a table and those that inherit
from it; 0 lets ANALYZE count them, as without the option. So the option does nothing, and the exponent
of its 0 is free to say for which name the mark was made: a column that the customer renames is the
customer's from then on.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.compiler import DDLCompiler

EXPONENTS = 1_000_000


@dataclass(eq=False)
class Mark(ExecutableDDLElement):
    """ALTER TABLE … ALTER COLUMN … SET (n_distinct_inherited = …), …"""

    table: sa.Table
    columns: Sequence[str]


@compiles(Mark)
def _mark(element: Mark, compiler: DDLCompiler, **_: Any) -> str:
    quote = compiler.preparer.quote_identifier
    sets = [f"ALTER COLUMN {quote(name)} SET ({_option(name)})" for name in element.columns]
    return f"ALTER TABLE {compiler.preparer.format_table(element.table)} {', '.join(sets)}"


def is_mark(options: Collection[str] | None, name: str) -> bool:
    """Whether a column's options mark it as made under its present name."""
    return _option(name) in (options or ())


def _option(name: str) -> str:
    return f"n_distinct_inherited=0e{zlib.crc32(name.encode()) % EXPONENTS}"
