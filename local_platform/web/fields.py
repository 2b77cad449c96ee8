"""Setup forms as pages show them, and what they bring back."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import FormData, UploadFile

from destination.sdk import common_pb2 as common
from local_platform.api import forms
from local_platform.api.errors import InvalidInputError

PREFIX = "field."
"""What the names of a form's fields begin with, so that they meet no others."""
DEFAULT_UPLOAD_BYTES = 1 << 20


@dataclass(frozen=True)
class Option:
    """A choice of a drop-down field."""

    value: str
    label: str
    description: str


@dataclass(frozen=True)
class Field:
    """A field as a template shows it.

    Args:
        name: of its input.
        kind: text, password, toggle, dropdown, options or upload.
        label: its label.
        description: what is said of it.
        required: whether it must be filled in.
        value: what it holds; never a secret.
        stored: whether a secret is stored, which stays if nothing is entered.
        placeholder: of its input.
        options: of a drop-down.
        accept: the types of files.
        most: the bytes of a file.
        conditions: when it is shown: field, kind of condition, value.
    """

    name: str
    kind: str
    label: str
    description: str
    required: bool
    value: str = ""
    stored: bool = False
    placeholder: str = ""
    options: list[Option] = field(default_factory=list)
    accept: str = ""
    most: int = 0
    conditions: list[tuple[str, str, str]] = field(default_factory=list)


def shown(
    form: common.ConfigurationFormResponse, config: Mapping[str, str] | None = None
) -> list[Field]:
    """A form's fields, filled in with a configuration or with their defaults."""
    return list(_shown(form.fields, config, []))


def _shown(
    listed: Iterable[common.FormField],
    config: Mapping[str, str] | None,
    conditions: list[tuple[str, str, str]],
) -> Iterator[Field]:
    for each in listed:
        if each.HasField("conditional_fields"):
            condition = each.conditional_fields.condition
            yield from _shown(
                each.conditional_fields.fields, config, [*conditions, _condition(condition)]
            )
        else:
            yield _field(each, config, conditions)


def _condition(condition: common.VisibilityCondition) -> tuple[str, str, str]:
    kind = condition.WhichOneof("visible_when") or ""
    value = getattr(condition, kind, "")
    text = value if isinstance(value, str) else str(value).lower()
    return PREFIX + condition.condition_field, kind.removesuffix("_value"), text


def _field(
    each: common.FormField,
    config: Mapping[str, str] | None,
    conditions: list[tuple[str, str, str]],
) -> Field:
    stored = (config or {}).get(each.name, "")
    value = stored if config else each.default_value
    further: dict[str, Any] = {}
    kind = "text"
    match each.WhichOneof("type"):
        case "toggle_field":
            kind = "toggle"
        case "dropdown_field":
            kind = "dropdown"
            further["options"] = [
                Option(text, text, "") for text in each.dropdown_field.dropdown_field
            ]
        case "descriptive_dropdown_fields":
            kind = "options"
            further["options"] = [
                Option(option.value, option.label or option.value, option.description)
                for option in each.descriptive_dropdown_fields.descriptive_dropdown_field
            ]
        case "upload_field":
            kind = "upload"
            further["accept"] = ",".join(each.upload_field.allowed_file_type)
            further["most"] = each.upload_field.max_file_size_bytes or DEFAULT_UPLOAD_BYTES
        case "text_field" if each.text_field in forms.SECRETS:
            kind = "password"
    secret = kind in ("password", "upload")
    return Field(
        PREFIX + each.name, kind, each.label or each.name, each.description, each.required,
        value="" if secret else value, stored=secret and bool(stored),
        placeholder=each.placeholder, conditions=conditions, **further,
    )  # fmt: skip


def read(form: common.ConfigurationFormResponse, sent: FormData) -> dict[str, str]:
    """What was entered; secrets that were left empty are not in it, and so stay.

    Raises:
        InvalidInputError: if a file is none that the field takes.
    """
    found = {}
    for each in forms.fields(form.fields):
        value = sent.get(PREFIX + each.name)
        shape = _field(each, None, [])
        if shape.kind == "toggle":
            found[each.name] = "true" if value else "false"
        elif isinstance(value, UploadFile):
            if value.filename:
                found[each.name] = _uploaded(shape, value)
        elif value is not None and (value or shape.kind != "password"):
            found[each.name] = value
    return found


def _uploaded(shape: Field, file: UploadFile) -> str:
    """A file in base64, as Fivetran hands uploads over."""
    content = file.file.read(shape.most + 1)
    if len(content) > shape.most:
        raise InvalidInputError(f"{shape.label}: the file has more than {shape.most} bytes")
    types = shape.accept.split(",") if shape.accept else []
    if types and not (file.filename or "").lower().endswith(tuple(types)):
        raise InvalidInputError(f"{shape.label}: the file must be {' or '.join(types)}")
    return base64.b64encode(content).decode()
