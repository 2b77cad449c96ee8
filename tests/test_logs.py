"""Log lines are Fivetran's JSON, and say nothing secret."""

import io
import json
import logging
import sys
import threading
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
    logger = logging.getLogger("destination.tests")
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
def test_line_is_one_json_object_with_fivetrans_level(
    output: io.StringIO, level: int, name: str
) -> None:
    logging.getLogger("destination.tests").log(level, "done\nwith %s", "é\N{LINE SEPARATOR}")
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
        logging.getLogger("destination.tests").exception("failed")
    (line,) = output.getvalue().splitlines()
    assert "marked-secret" not in line
    assert "f.csv: is damaged" in line
    assert "ValueError" in line
    assert "test_logs.py" in line


@pytest.mark.parametrize("level", [logging.DEBUG, logging.WARNING])
def test_what_a_library_logs_is_known_by_its_place_alone(output: io.StringIO, level: int) -> None:
    """Its text may hold a value as well as its arguments, and so may the text of its exception."""
    library = logging.getLogger("psycopg.tests")
    library.setLevel(logging.DEBUG)
    library.addHandler(logging.getLogger("destination.tests").handlers[0])
    try:
        raise ValueError("marked-secret")
    except ValueError:
        text = "Key (id)=(marked-secret)"
        library.log(level, f"error ignored: {text}: %s", "marked-secret", exc_info=True)
    (line,) = output.getvalue().splitlines()
    assert "marked-secret" not in line
    assert "psycopg.tests logs at test_logs.py:" in line
    assert "ValueError at test_what" in line


@pytest.fixture
def configured() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with warnings.catch_warnings(action="always"):
        logs.configure()
        yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook = sys.__excepthook__
    threading.excepthook = threading.__excepthook__


@pytest.mark.usefixtures("configured")
def test_uncaught_errors_and_warnings_are_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger().handlers[0].setStream(sys.stdout)
    warnings.warn("a library's warning about marked-secret", UserWarning, stacklevel=1)
    try:
        raise KeyError("marked-secret")
    except KeyError as error:
        sys.excepthook(KeyError, error, error.__traceback__)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["level"] for line in lines] == ["WARNING", "SEVERE"]
    assert "UserWarning at test_logs.py" in lines[0]["message"]
    assert "marked-secret" not in str(lines)
