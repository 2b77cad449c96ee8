"""A client with another vendor's stubs: creates a table, writes a batch, describes the table.

A program of its own, since two packages that both register `common.proto` cannot be in one process.
Arguments: the server's port, a schema, a directory for the batch file.
"""

import sys
from pathlib import Path

import grpc
from fivetran_sdk import common_pb2 as common
from fivetran_sdk import destination_sdk_pb2 as sdk
from fivetran_sdk.destination_sdk_pb2_grpc import DestinationConnectorStub


def main(port: str, schema: str, directory: str) -> None:
    table = common.Table(
        name="witnessed",
        columns=[
            common.Column(name="id", type=common.INT, primary_key=True),
            common.Column(name="price", type=common.DECIMAL),
        ],
    )
    table.columns[1].params.decimal.precision = 6
    table.columns[1].params.decimal.scale = 2
    file = Path(directory, "batch.csv")
    file.write_text("price,id\n1.25,1\n2.50,2\n")
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        stub = DestinationConnectorStub(channel)
        assert stub.CreateTable(sdk.CreateTableRequest(schema_name=schema, table=table)).success
        batch = sdk.WriteBatchRequest(
            schema_name=schema, table=table, replace_files=[str(file)], file_params=sdk.FileParams()
        )
        assert stub.WriteBatch(batch).success
        request = sdk.DescribeTableRequest(schema_name=schema, table_name="witnessed")
        assert stub.DescribeTable(request).table == table


if __name__ == "__main__":
    main(*sys.argv[1:])
