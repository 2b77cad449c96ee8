"""The API's reference, from its OpenAPI description: no script of anybody else's."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from local_platform.web import render

router = APIRouter()


@router.get("/docs")
def show(request: Request) -> Response:
    """All requests, by what they are about."""
    described = request.app.openapi()
    schemas = described.get("components", {}).get("schemas", {})
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append(
                {
                    "method": method.upper(), "path": path, "text": operation.get("description", ""),
                    "parameters": operation.get("parameters", []),
                    "body": _body(operation, schemas),
                }
            )  # fmt: skip
    return render.page(request, "reference.html", groups=groups, base=str(request.base_url))


def _body(operation: dict[str, Any], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    reference = schema.get("$ref") or next(
        (each["$ref"] for each in schema.get("anyOf", []) if "$ref" in each), ""
    )
    model = schemas.get(reference.rpartition("/")[2], {})
    required = set(model.get("required", []))
    return [
        {"name": name, "required": name in required, "type": _type(field)}
        for name, field in model.get("properties", {}).items()
    ]


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " | ".join(_type(each) for each in field["anyOf"] if each.get("type") != "null")
    return str(field.get("type", field.get("$ref", "").rpartition("/")[2]))
