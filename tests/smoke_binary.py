"""Runs a batch through dist/main, in an empty environment and, as root, in a bare chroot: `make smoke`."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import trustme

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination.warehouse.postgres.embedded import embedded_postgres
from destination_tester.files import BatchFiles, Row
from tests.support.fix_connector import column

BINARY = Path(__file__).parents[1] / "dist" / "main"
MAX_MEGABYTES = 120
STARTS = 3
LOCAL = "127.0.0.1"
TLS_REQUEST = bytes.fromhex("00000008 04d2162f")
TABLE = common.Table(name="t", columns=[column("id", common.INT, key=True), column("text")])


@contextmanager
def running(command: list[str]) -> Iterator[int]:
    """Run the binary without any environment; yields its port."""
    begun = time.monotonic()
    process = subprocess.Popen([*command, "--port", "0"], env={}, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        message = json.loads(process.stdout.readline())["message"]
        print(f"{' '.join(command)}: {message}, after {time.monotonic() - begun:.1f} s")
        found = re.search(r"port (\d+)", message)
        assert found is not None
        yield int(found[1])
    finally:
        process.terminate()
        process.communicate()
    assert process.returncode == 0


def load(port: int, configuration: dict[str, str], files: BatchFiles, schema: str) -> None:
    """Create a table and load a batch into it."""
    rows: list[Row] = [{"id": i, "text": "é" * i} for i in range(1000)]
    where: dict[str, Any] = {"configuration": configuration, "schema_name": schema, "table": TABLE}
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        stub = DestinationConnectorStub(channel)
        created = stub.CreateTable(sdk.CreateTableRequest(**where))
        assert created.success, created
        for file_format in (sdk.CSV, sdk.PARQUET):
            files.format = file_format
            path = files.write("batch", TABLE.columns, rows)
            request = sdk.WriteBatchRequest(
                keys=files.keys, file_params=files.params, replace_files=[path], **where
            )
            written = stub.WriteBatch(request)
            assert written.success, written


@contextmanager
def strangers_server() -> Iterator[int]:
    """A server that goes as far as TLS, with a certificate of an unknown authority; yields its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(LOCAL).configure_cert(context)

    def answer(listener: socket.socket) -> None:
        while True:
            client, _ = listener.accept()
            with client, suppress(OSError):
                while (asked := client.recv(len(TLS_REQUEST))) != TLS_REQUEST and asked:
                    client.sendall(b"N")  # to what is asked for before TLS
                client.sendall(b"S")
                context.wrap_socket(client, server_side=True).close()

    with socket.create_server((LOCAL, 0)) as listener:
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        yield int(listener.getsockname()[1])


def knows_public_authorities(port: int) -> None:
    """The file of public authorities is in the binary: nothing else can tell that one is unknown."""
    with strangers_server() as stranger, grpc.insecure_channel(f"localhost:{port}") as channel:
        form = {"host": LOCAL, "port": str(stranger), "database": "d", "user": "u"}
        request = common.TestRequest(
            name="connection", configuration={**form, "password": "p", "sslmode": "verify-full"}
        )
        failure = DestinationConnectorStub(channel).Test(request).failure
    assert "certificate verify failed" in failure, failure


def bare_root(directory: Path) -> list[str]:
    """A root directory that holds the binary and the C library it is linked with, nothing else."""
    chroot = shutil.which("chroot") or "/usr/sbin/chroot"
    if subprocess.run([chroot, "/", "/bin/true"], check=False, capture_output=True).returncode:
        raise PermissionError(chroot)
    shutil.copy(BINARY, directory / "main")
    linked = subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=True).stdout
    for path in re.findall(r"(/\S+)", linked):
        copied = directory / path.lstrip("/")
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copied)
    for name in ("libm.so.6", "librt.so.1", "libpthread.so.0", "libresolv.so.2"):
        for found in Path("/lib").glob(f"*/{name}"):
            copied = directory / str(found).lstrip("/")
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, copied)
    (directory / "tmp").mkdir()
    (directory / "dev").mkdir()
    for name, minor in {"null": 3, "urandom": 9}.items():
        os.mknod(directory / "dev" / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
    return [chroot, str(directory), "/main"]


def seconds_to_start() -> float:
    """How long the binary takes to be ready; the best of a few, since others use the machine too."""

    def once() -> float:
        begun = time.monotonic()
        with running([str(BINARY)]):
            return time.monotonic() - begun

    return min(once() for _ in range(STARTS))


def main() -> int:
    """Look at the binary, start it, run batches through it."""
    megabytes = BINARY.stat().st_size / 2**20
    print(f"{megabytes:.0f} MiB")
    assert megabytes < MAX_MEGABYTES
    print(f"ready after {seconds_to_start():.1f} s")
    with TemporaryDirectory(prefix="smoke-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with embedded_postgres(directory / "postgres") as uri:
            (host,) = parse_qs(urlsplit(uri).query)["host"]
            configuration = {"host": host, "database": "postgres", "user": "postgres"}
            with running([str(BINARY)]) as port:
                load(port, configuration, BatchFiles(directory), "plain")
                knows_public_authorities(port)
            root = directory / "root"
            root.mkdir()
            try:
                command = bare_root(root)
            except PermissionError:
                print("no bare root directory: this user may not make one")
                return 0
            with running(command) as port:
                knows_public_authorities(port)
                print(f"answers on port {port} from within a bare root directory")
    return 0


if __name__ == "__main__":
    sys.exit(main())
