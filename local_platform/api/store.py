"""What the platform remembers: tables of SQLite, with their rows as objects.

A configuration is stored encrypted. What a sync has reached is in its own directory, as
`local_platform.sync.state` keeps it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from local_platform.api.errors import ConflictError, NotFoundError

DATABASE = "platform.db"
INTERRUPTED = "interrupted"
UNDER_WAY = ("queued", "running")


def now() -> datetime:
    """The present instant, in UTC, to the millisecond as Fivetran tells it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def identity() -> str:
    """A new id."""
    return secrets.token_hex(8)


class Instant(sa.types.TypeDecorator[datetime]):
    """An instant: SQLite has no time zones, so it is stored in UTC."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        del dialect
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        del dialect
        return None if value is None else value.replace(tzinfo=UTC)


class Row(DeclarativeBase):
    """A row of any table."""

    type_annotation_map = {  # noqa: RUF012 - as SQLAlchemy declares it
        datetime: Instant,
        dict[str, Any]: sa.JSON,
        list[Any]: sa.JSON,
    }


R = TypeVar("R", bound=Row)


class Setting(Row):
    """Something that there is one of."""

    __tablename__ = "settings"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Group(Row):
    """Fivetran's frame around one destination, which has the same id."""

    __tablename__ = "groups"
    id: Mapped[str] = mapped_column(primary_key=True, default=identity)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Destination(Row):
    """A destination."""

    __tablename__ = "destinations"
    id: Mapped[str] = mapped_column(sa.ForeignKey("groups.id"), primary_key=True)
    service: Mapped[str]
    address: Mapped[str | None]
    config: Mapped[bytes]
    shown: Mapped[list[Any]] = mapped_column(default=list)
    region: Mapped[str] = mapped_column(default="LOCAL")
    time_zone_offset: Mapped[str] = mapped_column(default="0")
    setup_status: Mapped[str] = mapped_column(default="incomplete")
    tests: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Connection(Row):
    """A connection.

    `shown` names the values of the configuration that may be sent out; `declared` is what the source
    last said of its tables, `choices` what is chosen of them.
    """

    __tablename__ = "connections"
    id: Mapped[str] = mapped_column(primary_key=True, default=identity)
    group_id: Mapped[str] = mapped_column(sa.ForeignKey("groups.id"), index=True)
    service: Mapped[str]
    schema: Mapped[str]
    address: Mapped[str | None]
    config: Mapped[bytes]
    shown: Mapped[list[Any]] = mapped_column(default=list)
    paused: Mapped[bool] = mapped_column(default=False)
    naming: Mapped[str] = mapped_column(default="fivetran")
    schedule_type: Mapped[str] = mapped_column(default="auto")
    sync_frequency: Mapped[int] = mapped_column(default=360)
    setup_state: Mapped[str] = mapped_column(default="incomplete")
    tests: Mapped[list[Any]] = mapped_column(default=list)
    declared: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    choices: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)
    succeeded_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    __table_args__ = (sa.UniqueConstraint("group_id", "schema"),)


class Run(Row):
    """A sync: under way, or as it ended."""

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(primary_key=True, default=identity)
    connection_id: Mapped[str] = mapped_column(sa.ForeignKey("connections.id", ondelete="CASCADE"))
    resync: Mapped[bool] = mapped_column(default=False)
    status: Mapped[str] = mapped_column(default="queued", index=True)
    started_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]
    error: Mapped[str | None]
    rows: Mapped[int] = mapped_column(default=0)
    report: Mapped[dict[str, Any]] = mapped_column(default=dict, deferred=True)
    __table_args__ = (
        sa.Index("runs_by_connection", "connection_id", "started_at"),
        sa.Index("runs_by_start", "started_at"),
    )

    @property
    def under_way(self) -> bool:
        """Whether it has not ended yet."""
        return self.status in UNDER_WAY

    @property
    def seconds(self) -> float:
        """How long it took, or takes so far."""
        return ((self.ended_at or now()) - self.started_at).total_seconds()


class Line(Row):
    """A line of a sync's log."""

    __tablename__ = "lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(sa.ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(default=now)
    level: Mapped[str]
    message: Mapped[str]


class Webhook(Row):
    """Where events are sent to."""

    __tablename__ = "webhooks"
    id: Mapped[str] = mapped_column(primary_key=True, default=identity)
    group_id: Mapped[str | None] = mapped_column(sa.ForeignKey("groups.id", ondelete="CASCADE"))
    url: Mapped[str]
    events: Mapped[list[Any]]
    active: Mapped[bool] = mapped_column(default=True)
    secret: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Delivery(Row):
    """An event that is to be sent to a webhook."""

    __tablename__ = "deliveries"
    id: Mapped[int] = mapped_column(primary_key=True)
    webhook_id: Mapped[str] = mapped_column(
        sa.ForeignKey("webhooks.id", ondelete="CASCADE"), index=True
    )
    body: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)
    due_at: Mapped[datetime] = mapped_column(default=now, index=True)


class Store:
    """The database.

    Args:
        directory: where its file is, made if there is none.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        url = f"sqlite:///{directory / DATABASE}"
        self._writer = _engine(url, "BEGIN IMMEDIATE")
        self._reader = _engine(url, "BEGIN")
        Row.metadata.create_all(self._writer)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction, which is durable when the block ends, and undone if it raises."""
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that reads, and waits for nobody."""
        with Session(self._reader, expire_on_commit=False) as session, session.begin():
            yield session

    def row(self, model: type[R], identity: str) -> R:
        """A row of a table.

        Raises:
            NotFoundError: if there is none of this id.
        """
        with self.reading() as session:
            found = session.get(model, identity)
        if found is None:
            raise NotFoundError(model.__name__, identity)
        return found

    def change(self, model: type[R], identity: str, **columns: Any) -> R:
        """Change columns of a row that is there."""
        with self.writing() as session:
            found = session.get_one(model, identity)
            for name, value in columns.items():
                setattr(found, name, value)
        return found

    @contextmanager
    def adding(self, taken: str) -> Iterator[Session]:
        """A transaction that adds rows.

        Raises:
            ConflictError: with this text, if one has what only one may have.
        """
        try:
            with self.writing() as session:
                yield session
        except sa.exc.IntegrityError as error:
            raise ConflictError(taken) from error

    def recover(self) -> None:
        """Mark what was under way when the process was killed."""
        with self.writing() as session:
            session.execute(
                sa.update(Run)
                .where(Run.status.in_(UNDER_WAY))
                .values(status=INTERRUPTED, ended_at=now(), error="the platform was stopped")
            )

    def setting(self, name: str) -> str | None:
        """A setting; None if it was never made."""
        with self.reading() as session:
            found = session.get(Setting, name)
            return found.value if found else None

    def set(self, name: str, value: str) -> None:
        """Make or change a setting."""
        with self.writing() as session:
            session.merge(Setting(name=name, value=value))

    def close(self) -> None:
        """Close the file."""
        self._writer.dispose()
        self._reader.dispose()


def _engine(url: str, begin: str) -> sa.Engine:
    engine = sa.create_engine(url)

    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # SQLAlchemy begins transactions, not the driver
        for setting in ("journal_mode = WAL", "busy_timeout = 10000", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {setting}")

    sa.event.listen(engine, "connect", prepare)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine
