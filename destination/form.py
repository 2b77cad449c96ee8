"""The setup form that Fivetran shows to a customer, and the tests of what they fill in."""

from __future__ import annotations

from dataclasses import dataclass

from destination.configuration import DEFAULT_PORT, DEFAULT_SSH_PORT, ConnectionType, SslMode

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
    """A choice among options: value, label, description."""

    options: tuple[tuple[str, str, str], ...]
    default: str


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


@dataclass(frozen=True, slots=True)
class ConfigurationTest:
    """A test of the configuration, by its name on the wire."""

    name: str
    label: str


TUNNEL = ConfigurationTest("tunnel", "Reaching the SSH server")
CONNECTION = ConfigurationTest("connection", "Reaching the database and logging in")
PERMISSIONS = ConfigurationTest("permissions", "Creating a schema and a table")
VERSION = ConfigurationTest("version", "Checking PostgreSQL's version")
TESTS = (TUNNEL, CONNECTION, PERMISSIONS, VERSION)

TUNNEL_FIELDS = (
    TextField(
        name="tunnel_host",
        label="SSH host",
        description="The name or IP address of your SSH server, reachable from Fivetran.",
        placeholder="bastion.example.com",
    ),
    TextField(
        name="tunnel_port",
        label="SSH port",
        description="The port it listens on.",
        placeholder=str(DEFAULT_SSH_PORT),
        default=str(DEFAULT_SSH_PORT),
    ),
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

FORM: tuple[Field | ConditionalFields, ...] = (
    TextField(
        name="host",
        label="Host",
        description="The name or IP address of your PostgreSQL server, reachable from Fivetran or, by "
        "an SSH tunnel, from your SSH server.",
        placeholder="db.example.com",
        required=True,
    ),
    TextField(
        name="port",
        label="Port",
        description="The port your server listens on.",
        placeholder=str(DEFAULT_PORT),
        default=str(DEFAULT_PORT),
    ),
    TextField(
        name="database",
        label="Database",
        description="The database to load into. It must exist.",
        placeholder="warehouse",
        required=True,
    ),
    TextField(
        name="user",
        label="User",
        description="The user to log in as. It needs the privilege CREATE on the database.",
        placeholder="fivetran",
        required=True,
    ),
    TextField(
        name="password",
        label="Password",
        description="The user's password.",
        secret=True,
    ),
    DropdownField(
        name="connection_type",
        label="Connection method",
        description="How the server is reached.",
        options=tuple((kind.word, kind.label, kind.description) for kind in ConnectionType),
        default=ConnectionType.DIRECT.word,
    ),
    ConditionalFields(
        name="fields-for-ssh-tunnel",
        field="connection_type",
        value=ConnectionType.SSH.word,
        fields=TUNNEL_FIELDS,
    ),
    DropdownField(
        name="sslmode",
        label="TLS mode",
        description="How far the connection to your server is secured.",
        options=tuple((mode.word, mode.word, mode.description) for mode in SslMode),
        default=SslMode.REQUIRE.word,
    ),
    UploadField(
        name="sslrootcert",
        label="CA certificate",
        description="Only for the TLS modes verify-ca and verify-full: the certificate of the "
        "authority that signed your server's certificate. Cloud providers offer theirs for "
        "download. With verify-full it may be left out if the authority is a public one.",
        file_types=CERTIFICATE_FILES,
    ),
    UploadField(
        name="sslcert",
        label="Client certificate",
        description="Only if your server asks its clients for a certificate.",
        file_types=CERTIFICATE_FILES,
    ),
    UploadField(
        name="sslkey",
        label="Client key",
        description="The private key of the client certificate, not protected by a passphrase.",
        file_types=KEY_FILES,
    ),
)
"""The fields in their order, each name once. A field can be shown by one value of another field only,
and the certificate of an authority is for two TLS modes: it is always shown."""
