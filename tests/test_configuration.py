"""The setup form, and what becomes of what a customer fills in."""

import base64
from contextlib import nullcontext

import pytest

from destination.errors import ConfigurationError
from destination.sdk import common_pb2 as common
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination.warehouse.postgres.configuration import EMBEDDED, Configuration, SslMode
from destination.warehouse.postgres.kind import connector

FILLED_IN = {"host": "db.example.com", "database": "d", "user": "u", "password": "marked-secret"}
PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def test_absent_and_empty_fields_mean_their_defaults() -> None:
    wanted = Configuration("db.example.com", 5432, "d", "u", "marked-secret", SslMode.REQUIRE)
    assert Configuration.parse(FILLED_IN) == wanted
    empty = dict.fromkeys(("port", "sslmode", "sslrootcert", "sslcert", "sslkey"), "")
    assert Configuration.parse({**FILLED_IN, **empty, "unknown": "ignored"}) == wanted


def test_password_is_taken_as_it_stands() -> None:
    padded = {**FILLED_IN, "password": " marked-secret\t", "user": " u "}
    configuration = Configuration.parse(padded)
    assert (configuration.user, configuration.password) == ("u", " marked-secret\t")


def test_secrets_do_not_show() -> None:
    configuration = Configuration.parse(FILLED_IN)
    assert "marked-secret" not in repr(configuration) + str(configuration)


def test_no_host_means_the_embedded_warehouse() -> None:
    assert Configuration.parse({}) == EMBEDDED
    assert Configuration.parse({"host": " "}) == EMBEDDED


@pytest.mark.parametrize("mode", list(SslMode))
def test_certificate_authority_is_kept_for_modes_that_verify(mode: SslMode) -> None:
    upload = base64.b64encode(PEM).decode()
    configuration = Configuration.parse({**FILLED_IN, "sslmode": mode.word, "sslrootcert": upload})
    assert configuration.sslmode is mode
    assert configuration.sslrootcert == (PEM if mode.verifies else None)


@pytest.mark.parametrize("mode", list(SslMode))
def test_authority_that_cannot_be_read_matters_to_modes_that_verify(mode: SslMode) -> None:
    filled_in = {**FILLED_IN, "sslmode": mode.word, "sslrootcert": "no base64!"}
    refused = pytest.raises(ConfigurationError, match="sslrootcert")
    with refused if mode.verifies else nullcontext():
        assert Configuration.parse(filled_in).sslmode is mode


def test_only_verify_ca_needs_the_certificate_of_an_authority() -> None:
    """With verify-full, the authority may be a public one."""
    told = "sslrootcert: with sslmode verify-ca, upload the certificate"
    for empty in ("", " "):
        with pytest.raises(ConfigurationError, match=told):
            Configuration.parse({**FILLED_IN, "sslmode": "verify-ca", "sslrootcert": empty})
    configuration = Configuration.parse({**FILLED_IN, "sslmode": "verify-full"})
    assert configuration.sslrootcert is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("database", ""),
        ("user", " "),
        ("port", "postgres"),
        ("port", "0"),
        ("port", "65536"),
        ("port", "٣"),
        ("sslmode", "always"),
        ("sslcert", base64.b64encode(PEM).decode()),
        ("sslkey", base64.b64encode(PEM).decode()),
        ("sslcert", "no base64!"),
        ("sslcert", base64.b64encode(b"no certificate").decode()),
        ("sslmode", "verify-ca"),
        ("database", "a\0b"),
    ],
)
def test_malformed_field_is_named(field: str, value: str) -> None:
    wrong = {**FILLED_IN, field: value}
    with pytest.raises(ConfigurationError, match=r"database|user|port|ssl"):
        Configuration.parse(wrong)


def test_binary_certificate_is_taken() -> None:
    der = b"\x30\x82\x01\x00" + bytes(256)
    upload = base64.b64encode(der).decode()
    configuration = Configuration.parse(
        {**FILLED_IN, "sslmode": "verify-ca", "sslrootcert": upload}
    )
    assert configuration.sslrootcert is not None
    assert configuration.sslrootcert.startswith(b"-----BEGIN CERTIFICATE-----")


def test_form_offers_fields_with_defaults_and_four_tests(stub: DestinationConnectorStub) -> None:
    form = stub.ConfigurationForm(common.ConfigurationFormRequest())
    assert form.schema_selection_supported
    assert form.table_selection_supported
    fields = {field.name: field for field in form.fields}
    assert [test.name for test in form.tests] == ["tunnel", "connection", "permissions", "version"]
    assert [name for name, field in fields.items() if field.required] == [
        "host",
        "database",
        "user",
    ]
    assert fields["password"].text_field == common.Password
    assert fields["port"].default_value == "5432"
    modes = fields["sslmode"].descriptive_dropdown_fields.descriptive_dropdown_field
    assert [mode.value for mode in modes] == [mode.word for mode in SslMode]
    assert all(mode.description for mode in modes)
    assert fields["sslmode"].default_value == "require"
    upload = fields["sslrootcert"].upload_field
    assert list(upload.allowed_file_type) == [".pem", ".crt", ".cer"]


def test_fields_of_a_tunnel_are_shown_with_it(stub: DestinationConnectorStub) -> None:
    form = stub.ConfigurationForm(common.ConfigurationFormRequest())
    fields = {field.name: field for field in form.fields}
    kinds = fields["connection_type"].descriptive_dropdown_fields.descriptive_dropdown_field
    assert [kind.value for kind in kinds] == ["Directly", "SshTunnel"]
    assert fields["connection_type"].default_value == "Directly"
    (shown,) = [
        field.conditional_fields for field in form.fields if field.conditional_fields.fields
    ]
    assert shown.condition.condition_field == "connection_type"
    assert shown.condition.string_value == "SshTunnel"
    assert [field.name for field in shown.fields] == [
        "tunnel_host",
        "tunnel_port",
        "tunnel_user",
        "tunnel_private_key",
        "tunnel_host_key",
    ]


def test_each_name_is_in_the_form_once(stub: DestinationConnectorStub) -> None:
    form = stub.ConfigurationForm(common.ConfigurationFormRequest())
    names = [field.name for field in form.fields]
    names += [field.name for outer in form.fields for field in outer.conditional_fields.fields]
    assert len(names) == len(set(names))
    assert set(names) >= {"host", "port", "database", "user", "password", "sslmode", "sslrootcert"}


def fails(stub: DestinationConnectorStub, name: str, **configuration: str) -> str:
    answer = stub.Test(common.TestRequest(name=name, configuration=configuration), timeout=10)
    assert answer.WhichOneof("response") == "failure", answer
    return str(answer.failure)


@pytest.mark.parametrize("name", ["tunnel", "connection", "permissions", "version"])
def test_every_test_passes_on_a_good_warehouse(stub: DestinationConnectorStub, name: str) -> None:
    assert stub.Test(common.TestRequest(name=name)).success


def test_unknown_test_fails(stub: DestinationConnectorStub) -> None:
    assert "no test" in fails(stub, "other")


@pytest.mark.parametrize(
    ("host", "told"),
    [("127.0.0.1", "refused"), ("no-such-host.invalid", "resolve"), ("198.51.100.1", "")],
)
def test_wrong_host_fails_within_ten_seconds(
    stub: DestinationConnectorStub, host: str, told: str
) -> None:
    configuration = {**FILLED_IN, "host": host, "port": "1"}
    failure = fails(stub, "connection", **configuration)
    assert told in failure
    assert "marked-secret" not in failure


def test_missing_host_is_a_clear_failure() -> None:
    with pytest.raises(ConfigurationError, match="host"):
        connector(None)(EMBEDDED)
