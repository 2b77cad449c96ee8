"""What a setup form says of a configuration: which fields count, are missing, are secret."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from destination.sdk import common_pb2 as common
from destination_tester.configure import visible
from local_platform.api.errors import InvalidInputError

MASK = "******"
"""What stands for a secret in whatever is sent out. [D]"""
SECRETS = (common.Password, common.Hidden)


def fields(
    listed: Iterable[common.FormField], answers: Mapping[str, str] | None = None
) -> Iterator[common.FormField]:
    """The fields of a form, those of conditions with them.

    Args:
        listed: as the form has them.
        answers: if given, only what is visible for these.
    """
    for field in listed:
        if not field.HasField("conditional_fields"):
            yield field
        elif answers is None or visible(field.conditional_fields.condition, dict(answers)):
            yield from fields(field.conditional_fields.fields, answers)


def completed(form: common.ConfigurationFormResponse, config: Mapping[str, str]) -> dict[str, str]:
    """A configuration with the defaults of what is not filled in, and without what is empty."""
    known = {
        field.name: field.default_value for field in fields(form.fields) if field.default_value
    }
    whole = {**known, **config}
    counted = {field.name for field in fields(form.fields, whole)}
    return {name: value for name, value in whole.items() if value and name in counted}


def missing(form: common.ConfigurationFormResponse, config: Mapping[str, str]) -> list[str]:
    """The labels of fields that must be filled in and are not."""
    return [
        field.label or field.name
        for field in fields(form.fields, config)
        if field.required and not config.get(field.name)
    ]


def shown(form: common.ConfigurationFormResponse) -> list[str]:
    """The names of fields whose values may be shown."""
    return [
        field.name
        for field in fields(form.fields)
        if field.WhichOneof("type") != "upload_field"
        and not (field.WhichOneof("type") == "text_field" and field.text_field in SECRETS)
    ]


def masked(config: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """A configuration as it may be sent out: only values of these names."""
    known = set(names)
    return {name: value if name in known else MASK for name, value in config.items()}


def strings(config: Mapping[str, Any], form: common.ConfigurationFormResponse) -> dict[str, str]:
    """A configuration of an API request as a connector takes it: texts alone.

    Raises:
        InvalidInputError: if a field is none of the form's, or a value none that a field can have.
    """
    known = {field.name for field in fields(form.fields)}
    found = {}
    for name, value in config.items():
        if name not in known:
            raise InvalidInputError(f"config.{name}: the setup form has no such field")
        if isinstance(value, bool):
            found[name] = "true" if value else "false"
        elif isinstance(value, str | int | float):
            found[name] = str(value)
        elif value is None:
            found[name] = ""
        else:
            raise InvalidInputError(f"config.{name}: it must be a text, a number, true or false")
    return {name: value for name, value in found.items() if value != MASK}
