"""Shows a sync: a Connector SDK source, twice, into an embedded PostgreSQL; then tables and state.

`python -m local_platform.demo PYTHON`, with the Python of an environment that has the Connector SDK.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from destination_tester.demo import server
from local_platform.__main__ import main as run
from local_platform.sync.state import STATE

SOURCE = Path(__file__).parent / "sources" / "changing_shop"
SCHEMA = "shop"
TABLES = ("products", "visits")


def main(python: str) -> int:
    """Run the demonstration.

    Args:
        python: a Python that has the Connector SDK.

    Returns:
        The process's exit code.
    """
    console = Console(emoji=False)
    with tempfile.TemporaryDirectory(prefix="sync-demo-") as name:
        directory = Path(name)
        (directory / "destination.json").write_text("{}")
        with server(directory / "postgres") as (port, uri):
            where = ("--port", port, "--schema", SCHEMA, "--sdk-project", str(SOURCE))
            for number in ("first", "second"):
                console.rule(f"[bold]the {number} sync")
                code = run(["sync", name, *where, "--python", python])
                if code:
                    return code
                _show(console, uri)
        console.print(f"[bold]{STATE}[/]")
        console.print((directory / STATE).read_text())
    return 0


def _show(console: Console, uri: str) -> None:
    engine = sa.create_engine(sa.make_url(uri).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        for name in TABLES:
            table = sa.Table(name, sa.MetaData(), schema=SCHEMA, autoload_with=connection)
            shown = Table(title=f"{SCHEMA}.{name}", title_justify="left")
            for column in table.columns:
                shown.add_column(f"{column.name}\n[dim]{column.type}")
            rows = connection.execute(sa.select(table).order_by(*table.primary_key.columns))
            for row in rows:
                shown.add_row(*("[dim]NULL" if each is None else str(each) for each in row))
            console.print(shown)
    engine.dispose()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
