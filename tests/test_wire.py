"""Messages of the wire that say what this connector does not know."""

import pytest

from destination import wire
from destination.batch.decompression import Compression
from destination.errors import RequestError
from destination.sdk import destination_sdk_pb2 as sdk

UNKNOWN = 77


@pytest.mark.parametrize("field", ["encryption", "compression"])
def test_way_to_write_files_that_is_unknown_is_refused(field: str) -> None:
    message = sdk.FileParams()
    setattr(message, field, UNKNOWN)
    with pytest.raises(RequestError, match=f"{field} 77 of the batch files is not supported"):
        wire.file_params_from_wire(message)


@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize("encrypted", [True, False])
def test_way_to_write_files(compression: Compression, *, encrypted: bool) -> None:
    message = sdk.FileParams(
        compression=compression.value,
        encryption=sdk.AES if encrypted else sdk.NONE,
        null_string="null",
        unmodified_string="unmodified",
    )
    params = wire.file_params_from_wire(message)
    assert params.compression is compression
    assert params.encrypted == encrypted
    assert (params.null_string, params.unmodified_string) == ("null", "unmodified")
