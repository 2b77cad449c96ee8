"""The kinds of sources that connections can be made of, and what they say of themselves."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict

from destination.sdk import common_pb2 as common
from local_platform.api.errors import InvalidInputError, NotFoundError

ADDRESS, SIMULATED = "address", "simulated"
COMMAND_FILE, PROJECT_FILE = "command.json", "connector.py"
CONFIGURATION_FILE = "configuration.json"
FORM_SECONDS = 30
ROOT = Path(__file__).parents[2]
"""Where the package is: its commands run there."""
SIMULATED_FIELDS = [
    common.FormField(
        name="polls", label="Polls", default_value="3", text_field=common.PlainText,
        description="How many times a client asks for the connection before a sync has ended.",
    ),
    common.FormField(
        name="outcome", label="Outcome", default_value="succeed",
        description="How a sync ends, or what polls are answered before it does.",
        descriptive_dropdown_fields=common.DescriptiveDropDownFields(
            descriptive_dropdown_field=[
                common.DescriptiveDropDownField(value=value, label=label, description=description)
                for value, label, description in (
                    ("succeed", "Succeed", "succeeded_at passes the value that it had before."),
                    ("fail", "Fail", "failed_at does, and the setup is broken."),
                    ("throttle", "Throttle", "Every other poll is answered 429 with Retry-After."),
                )
            ]
        ),
    ),
]  # fmt: skip
"""The form of simulated sources."""


@dataclass(frozen=True)
class Kind:
    """A kind of source.

    Args:
        id: what a connection calls its service.
        name: for people.
        description: for people.
        options: how `local_platform sync` reaches it; nothing if by the connection's address.
        fields: of the form, if the source itself has none.
    """

    id: str
    name: str
    description: str
    options: Sequence[str] = ()
    fields: Sequence[common.FormField] = ()

    def reach(self, address: str | None) -> list[str]:
        """The options of `local_platform sync` that mean a source of this kind.

        Raises:
            InvalidInputError: if it needs an address.
        """
        if self.options:
            return list(self.options)
        if not address:
            raise InvalidInputError("address: say where the source listens, as HOST:PORT")
        return ["--source", address]


class Sources:
    """All kinds of sources.

    Args:
        directory: holds a directory for each: a Connector SDK project, or a `command.json` with a
            name, a description and a command for a source server.
        python: the Python that Connector SDK projects run in.
    """

    def __init__(self, directory: Path, python: str) -> None:
        self._directory = directory
        self._python = python
        self._forms: dict[
            tuple[str, str | None], tuple[float, common.ConfigurationFormResponse]
        ] = {}

    def kinds(self) -> list[Kind]:
        """Those that there are now, by name."""
        found = [_kind(path, self._python) for path in sorted(self._directory.iterdir())]
        return [
            *filter(None, found),
            Kind(ADDRESS, "Source server", "A source connector that listens at an address."),
            Kind(
                SIMULATED, "Simulated", "Syncs that end as you like, without data, to test clients.",
                fields=SIMULATED_FIELDS,
            ),
        ]  # fmt: skip

    def kind(self, service: str) -> Kind:
        """A kind.

        Raises:
            NotFoundError: if there is none of that name.
        """
        for each in self.kinds():
            if each.id == service:
                return each
        raise NotFoundError("ConnectorType", service)

    def form(self, service: str, address: str | None) -> common.ConfigurationFormResponse:
        """The setup form, read again after a while: between a page and its submission it stays.

        Args:
            service: the kind of source.
            address: where it listens, if the kind does not say.

        Raises:
            InvalidInputError: if it does not answer.
        """
        kind = self.kind(service)
        if service == SIMULATED:
            return common.ConfigurationFormResponse(fields=kind.fields)
        read_at, known = self._forms.get((service, address), (0.0, None))
        if known is None or time.monotonic() - read_at > FORM_SECONDS:
            said = _run([*kind.reach(address), "--until", "form"], {})
            known = ParseDict(said["form"], common.ConfigurationFormResponse())
            if not known.fields:
                known.fields.extend(kind.fields)
            self._forms[service, address] = time.monotonic(), known
        return known

    def inspect(
        self, service: str, address: str | None, configuration: Mapping[str, str]
    ) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """Have a source test a configuration and, if that goes well, declare its tables.

        Returns:
            How each test went, as `destinations.outcome` has it, and what the source declares, as
            `SchemaResponse` in JSON; None if it was not read.

        Raises:
            InvalidInputError: if it does not answer.
        """
        said = _run([*self.kind(service).reach(address), "--until", "schema"], configuration)
        return said["tests"], said.get("schema")


def _kind(path: Path, python: str) -> Kind | None:
    if (path / PROJECT_FILE).is_file():
        return Kind(
            path.name, path.name.replace("_", " ").capitalize(), "A Connector SDK project.",
            options=("--sdk-project", str(path.resolve()), "--python", python),
            fields=_project_fields(path / CONFIGURATION_FILE),
        )  # fmt: skip
    if (path / COMMAND_FILE).is_file():
        content = json.loads((path / COMMAND_FILE).read_text())
        command = content["command"].replace("{python}", sys.executable)
        return Kind(
            path.name, content["name"], content["description"], ("--source-command", command)
        )
    return None


def _project_fields(path: Path) -> list[common.FormField]:
    """The fields of a Connector SDK project: the SDK has no form, but a file with an example."""
    if not path.is_file():
        return []
    content = json.loads(path.read_text())
    return [
        common.FormField(name=name, label=name, text_field=common.Password, required=True)
        for name in content
    ]


def _run(options: Sequence[str], configuration: Mapping[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "local_platform", "inspect", "--stdin", *options]
    line = json.dumps({"source": dict(configuration)}) + "\n"
    with subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(line)
        process.stdin.flush()
        said = process.stdout.readline()
    try:
        content: dict[str, Any] = json.loads(said)
    except ValueError as error:
        raise InvalidInputError("the source could not be reached") from error
    if "error" in content:
        raise InvalidInputError(content["error"])
    return content
