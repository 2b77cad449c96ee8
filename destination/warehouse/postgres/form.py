"""The setup form for a PostgreSQL server."""

from __future__ import annotations

from destination.form import (
    CERTIFICATE_FILES,
    CONNECTION,
    KEY_FILES,
    ConditionalFields,
    DropdownField,
    Field,
    TextField,
    UploadField,
    port_field,
)
from destination.warehouse.postgres.configuration import DEFAULT_PORT, SslMode

FORM: tuple[Field | ConditionalFields, ...] = (
    TextField(
        name="host",
        label="Host",
        description="The name or IP address of your PostgreSQL server, reachable from Fivetran or, by "
        "an SSH tunnel, from your SSH server.",
        placeholder="db.example.com",
        required=True,
    ),
    port_field("port", "Port", "The port your server listens on.", DEFAULT_PORT),
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
    *CONNECTION,
    DropdownField(
        name="sslmode",
        label="TLS mode",
        description="How far the connection to your server is secured.",
        options=SslMode,
        default=SslMode.REQUIRE,
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
