"""Log lines are Fivetran's JSON, and say nothing secret."""

import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator

import pytest

from destination import logs
from destination.errors import BatchFileError


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.FivetranFormatter())
    logger = logging.getLogger("tests.logs")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (logging.DEBUG, "INFO"),
        (logging.INFO, "INFO"),
        (logging.WARNING, "WARNING"),
        (logging.ERROR, "SEVERE"),
        (logging.CRITICAL, "SEVERE"),
    ],
)
def test_levels(output: io.StringIO, level: int, name: str) -> None:
    logging.getLogger("tests.logs").log(level, "done\nwith %s", "é\N{LINE SEPARATOR}")
    (line,) = output.getvalue().splitlines()
    assert json.loads(line) == {
        "level": name,
        "message": "done\nwith é\N{LINE SEPARATOR}",
        "message-origin": "sdk_destination",
    }


def test_texts_of_foreign_exceptions_do_not_show(output: io.StringIO) -> None:
    try:
        try:
            raise ValueError("marked-secret")
        except ValueError as error:
            raise BatchFileError("is damaged", file="f.csv") from error
    except BatchFileError:
        logging.getLogger("tests.logs").exception("failed")
    (line,) = output.getvalue().splitlines()
    assert "marked-secret" not in line
    assert "f.csv: is damaged" in line
    assert "ValueError" in line
    assert "test_logs.py" in line


def test_uncaught_errors_and_warnings_are_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.configure()
        with warnings.catch_warnings(action="always"):
            logging.captureWarnings(True)
            warnings.warn("a library's warning", UserWarning, stacklevel=1)
        try:
            raise KeyError("marked-secret")
        except KeyError as error:
            sys.excepthook(KeyError, error, error.__traceback__)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
        sys.excepthook = sys.__excepthook__
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["level"] for line in lines] == ["WARNING", "SEVERE"]
    assert "marked-secret" not in str(lines)
