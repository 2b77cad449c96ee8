"""The configuration map: from `configuration.json`, or typed in field by field."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path

from rich.prompt import Confirm, Prompt

from destination.sdk import common_pb2 as common
from destination_tester import documents
from destination_tester.inputs import CONFIGURATION

Configuration = dict[str, str]


def configuration(directory: Path, form: common.ConfigurationFormResponse) -> Configuration:
    """The configuration in a directory; where there is none, ask for it and offer to save it.

    Raises:
        InputError: if the file cannot be read.
    """
    path = directory / CONFIGURATION
    if path.exists():
        return _read(path)
    answers = ask(form.fields)
    if answers and Confirm.ask(f"Save this as {path}?"):
        path.write_text(json.dumps(answers, indent=2))
        path.chmod(0o600)
    return answers


def _read(path: Path) -> Configuration:
    content = documents.mapping(documents.read(path), path.name)
    return {name: documents.text(value) or "" for name, value in content.items()}


def ask(fields: Iterable[common.FormField]) -> Configuration:
    """Ask for the fields of a form, those that are conditional only where they are visible."""
    answers: Configuration = {}
    for field in fields:
        if field.HasField("conditional_fields"):
            if visible(field.conditional_fields.condition, answers):
                answers |= ask(field.conditional_fields.fields)
        else:
            answers[field.name] = _ask(field)
    return {name: answer for name, answer in answers.items() if answer}


def visible(condition: common.VisibilityCondition, answers: Configuration) -> bool:
    """Whether a condition holds for the answers so far."""
    answer = answers.get(condition.condition_field, "")
    match condition.WhichOneof("visible_when"):
        case "string_value":
            return answer == condition.string_value
        case "bool_value":
            return (answer == "true") == condition.bool_value
        case "empty_value":
            return (not answer) == condition.empty_value
        case _:
            return True


def _ask(field: common.FormField) -> str:
    label = field.label or field.name
    if field.description:
        label = f"{label} ({field.description})"
    default = field.default_value
    match field.WhichOneof("type"):
        case "toggle_field":
            return "true" if Confirm.ask(label) else "false"
        case "dropdown_field":
            choices = list(field.dropdown_field.dropdown_field)
            return Prompt.ask(label, choices=choices, default=default or "".join(choices[:1]))
        case "descriptive_dropdown_fields":
            options = field.descriptive_dropdown_fields.descriptive_dropdown_field
            choices = [option.value for option in options]
            return Prompt.ask(label, choices=choices, default=default or "".join(choices[:1]))
        case "upload_field":
            return _upload(label)
        case _:
            return _text(field, label)


def _text(field: common.FormField, label: str) -> str:
    hidden = field.text_field == common.Password
    while True:
        answer = Prompt.ask(label, password=hidden, default=field.default_value)
        if answer or not field.required:
            return answer


def _upload(label: str) -> str:
    """The bytes of a file, in base64 as Fivetran hands uploads over."""
    while True:
        path = Prompt.ask(f"{label}: path of the file, empty for none", default="")
        if not path:
            return ""
        if Path(path).is_file():
            return base64.b64encode(Path(path).read_bytes()).decode()
