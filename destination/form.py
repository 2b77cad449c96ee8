"""The fields of a setup form that Fivetran shows to a customer."""

from __future__ import annotations

from dataclasses import dataclass

from destination.configuration import DEFAULT_SSH_PORT, Choice, ConnectionType

MAX_UPLOAD_BYTES = 1 << 20
CERTIFICATE_FILES = (".pem", ".crt", ".cer")
KEY_FILES = (".pem", ".key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What every field of the form has."""

    name: str
    label: str
    description: str
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TextField(Field):
    """A line of text; `secret` ones are not shown while typing."""

    placeholder: str | None = None
    default: str | None = None
    secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DropdownField(Field):
    """A choice among options."""

    options: type[Choice]
    default: Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadField(Field):
    """A file to upload."""

    file_types: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionalFields:
    """Fields shown only while another field has a value."""

    name: str
    field: str
    value: str
    fields: tuple[Field, ...]


def port_field(name: str, label: str, description: str, default: int) -> TextField:
    """A TCP port."""
    return TextField(
        name=name,
        label=label,
        description=description,
        placeholder=str(default),
        default=str(default),
    )


TUNNEL: tuple[Field, ...] = (
    TextField(
        name="tunnel_host",
        label="SSH host",
        description="The name or IP address of your SSH server, reachable from Fivetran.",
        placeholder="bastion.example.com",
    ),
    port_field("tunnel_port", "SSH port", "The port it listens on.", DEFAULT_SSH_PORT),
    TextField(
        name="tunnel_user",
        label="SSH user",
        description="The user to log in as. It needs to forward connections, and no shell.",
        placeholder="fivetran",
    ),
    UploadField(
        name="tunnel_private_key",
        label="SSH private key",
        description="The key to log in with, not protected by a passphrase: make one by "
        "ssh-keygen -t ed25519, and add its public half to the user's authorized_keys.",
        file_types=(*KEY_FILES, ".txt"),
    ),
    TextField(
        name="tunnel_host_key",
        label="SSH host key",
        description="How the server is known: the fingerprint (SHA256:…) or public key that it shows. "
        "Left empty, the test says which it shows, for you to compare.",
        placeholder="SHA256:…",
    ),
)

CONNECTION: tuple[Field | ConditionalFields, ...] = (
    DropdownField(
        name="connection_type",
        label="Connection method",
        description="How the server is reached.",
        options=ConnectionType,
        default=ConnectionType.DIRECT,
    ),
    ConditionalFields(
        name="fields-for-ssh-tunnel",
        field="connection_type",
        value=ConnectionType.SSH.word,
        fields=TUNNEL,
    ),
)
"""How the warehouse is reached: read by `TunnelConfiguration.parse`."""
