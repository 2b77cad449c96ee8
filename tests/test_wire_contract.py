"""The compiled protos say what the wire contract says, and what another vendor's stubs say."""

import importlib.util
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from destination.sdk import common_pb2, connector_sdk_pb2, destination_sdk_pb2
from tests.support.contract import contract
from tests.support.fix_postgres import Database

WITNESS = "fivetran_sdk"


def stated() -> set[str]:
    lines = (Path(__file__).parent / "wire_contract.txt").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_package_is_the_one_on_the_wire() -> None:
    for module in (common_pb2, destination_sdk_pb2, connector_sdk_pb2):
        assert module.DESCRIPTOR.package == "fivetran_sdk.v2"


def test_compiled_protos_are_the_stated_contract() -> None:
    assert set(contract("destination.sdk")) == stated()


def test_another_vendors_stubs_are_the_same_contract() -> None:
    if importlib.util.find_spec(WITNESS) is None:
        pytest.fail("the witness is not installed: make setup")
    program = Path(__file__).parent / "support/contract.py"
    printed = subprocess.run(
        [sys.executable, program, WITNESS], capture_output=True, text=True, check=True
    )
    assert set(printed.stdout.splitlines()) == stated()


def test_another_vendors_client_is_served(
    server_port: int, schema: str, database: Database, tmp_path: Path
) -> None:
    program = Path(__file__).parent / "support/witness_client.py"
    arguments = [str(server_port), schema, str(tmp_path)]
    subprocess.run([sys.executable, program, *arguments], check=True)
    assert database.rows("witnessed") == [(1, Decimal("1.25")), (2, Decimal("2.50"))]
