"""Prints the wire contract of compiled descriptors, in the words of wire_contract.txt.

Run as a program it prints that of the package named as its argument; two packages that both register
`common.proto` cannot be loaded into one process.
"""

from __future__ import annotations

import importlib
import sys

from google.protobuf import descriptor as pb

TYPES = {
    pb.FieldDescriptor.TYPE_STRING: "string",
    pb.FieldDescriptor.TYPE_BOOL: "bool",
    pb.FieldDescriptor.TYPE_BYTES: "bytes",
    pb.FieldDescriptor.TYPE_INT32: "int32",
    pb.FieldDescriptor.TYPE_INT64: "int64",
    pb.FieldDescriptor.TYPE_UINT32: "uint32",
    pb.FieldDescriptor.TYPE_FLOAT: "float",
    pb.FieldDescriptor.TYPE_DOUBLE: "double",
}
FILES = ("common", "destination_sdk", "connector_sdk")
OWN_PACKAGE = "fivetran_sdk.v2."


def contract(package: str) -> list[str]:
    """A line for each enum, message and service of a package's compiled protos."""
    # A vendor's connector_sdk_pb2 imports common_pb2 as if it stood at the root.
    sys.modules.setdefault("common_pb2", importlib.import_module(f"{package}.common_pb2"))
    modules = (importlib.import_module(f"{package}.{name}_pb2") for name in FILES)
    return [line for module in modules for line in _file(module.DESCRIPTOR)]


def _file(file: pb.FileDescriptor) -> list[str]:
    return [
        *(_enum(enum) for enum in file.enum_types_by_name.values()),
        *(_message(message) for message in file.message_types_by_name.values()),
        *(_service(service) for service in file.services_by_name.values()),
    ]


def _enum(enum: pb.EnumDescriptor) -> str:
    values = ", ".join(f"{value.name}={value.number}" for value in enum.values)
    return f"enum {enum.name}: {values}"


def _message(message: pb.Descriptor) -> str:
    fields = "; ".join(_field(field) for field in message.fields)
    return f"{message.name}: {fields or '(empty)'}"


def _field(field: pb.FieldDescriptor) -> str:
    told = f"{field.name}={field.number} {_type(field)}"
    oneof = field.containing_oneof
    if oneof is not None:
        optional = oneof.name == f"_{field.name}"
        return f"optional {told}" if optional else f"oneof {oneof.name}: {told}"
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    return f"repeated {told}" if field.is_repeated and not is_map else told


def _type(field: pb.FieldDescriptor) -> str:
    if field.enum_type is not None:
        return field.enum_type.name
    message = field.message_type
    if message is None:
        return TYPES[field.type]
    if message.GetOptions().map_entry:
        key, value = (_type(message.fields_by_name[name]) for name in ("key", "value"))
        return f"map<{key},{value}>"
    return message.full_name.removeprefix(OWN_PACKAGE)


def _service(service: pb.ServiceDescriptor) -> str:
    methods = "; ".join(
        f"{method.name}({method.input_type.name}) ->"
        f"{' stream' if method.server_streaming else ''} {method.output_type.name}"
        for method in service.methods
    )
    return f"service {service.name}: {methods}"


if __name__ == "__main__":
    print("\n".join(contract(sys.argv[1])))
