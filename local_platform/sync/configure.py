"""The configuration of one side: from its file, or typed in field by field."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from rich.prompt import Confirm

from destination.sdk import common_pb2 as common
from destination_tester.configure import Configuration, ask
from local_platform.sync.errors import InputError


def configuration(path: Path, form: common.ConfigurationFormResponse) -> Configuration:
    """The configuration in a file; where there is no file, ask for what the form has and save it.

    Raises:
        InputError: if the file is no map of strings, or there is no terminal.
    """
    if path.exists():
        return read(path)
    if not form.fields:
        return {}
    if not sys.stdin.isatty():
        required = [field.name for field in form.fields if field.required]
        named = f" with {', '.join(required)}" if required else ""
        raise InputError(f"{path} is missing: make it, a JSON map of strings{named}")
    answers = ask(form.fields)
    if Confirm.ask(f"Save this as {path}?"):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(file, "w") as opened:  # noqa: PTH123
            json.dump(answers, opened, indent=2)
    return answers


def read(path: Path) -> Configuration:
    """The map in a file.

    Raises:
        InputError: if it is none, naming the key whose value is no string, never the value.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a map of names to strings")
    for name, value in content.items():
        if not isinstance(value, str):
            raise InputError(f'{path}: the value of "{name}" is not a string')
    return content
