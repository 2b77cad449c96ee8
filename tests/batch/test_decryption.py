"""AES-256-CBC with PKCS#5 padding."""

import io
import os

import pytest

from destination.batch.decryption import DecryptingReader
from destination.errors import BatchFileError
from destination_tester.files import encrypt


def decrypt(key: bytes, content: bytes) -> bytes:
    with DecryptingReader(io.BytesIO(content), key) as reader:
        return reader.read()


@pytest.mark.parametrize(
    "size", [0, 1, 15, 16, 17, 1 << 20, (1 << 20) - 16, (1 << 20) + 1, 3 << 20]
)
def test_what_was_encrypted_comes_back(size: int) -> None:
    plaintext = os.urandom(size)
    key, content = encrypt(plaintext)
    assert decrypt(key, content) == plaintext


def test_every_wrong_padding_is_refused() -> None:
    """In CBC, changing a byte of one block changes the same byte of the next one's plaintext."""
    key, content = encrypt(b"x" * 30)
    for last in range(256):
        damaged = bytearray(content)
        damaged[-17] ^= 2 ^ last
        if last in (1, 2):
            assert decrypt(key, bytes(damaged))[16:30] == b"x" * 14
        else:
            with pytest.raises(BatchFileError):
                decrypt(key, bytes(damaged))


@pytest.mark.parametrize("size", [0, 1, 16, 17, 31, 33, 47])
def test_file_of_incomplete_blocks_is_refused(size: int) -> None:
    with pytest.raises(BatchFileError):
        decrypt(bytes(32), bytes(size))


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(BatchFileError, match=f"{size} bytes"):
        decrypt(bytes(size), bytes(48))


class Source(io.BytesIO):
    """Counts how much of it is read at a time."""

    largest = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.largest = max(self.largest, len(data))
        return data


def test_file_is_read_piece_by_piece_and_closed_with_the_stream() -> None:
    plaintext = os.urandom(3 << 20)
    key, content = encrypt(plaintext)
    source = Source(content)
    with DecryptingReader(source, key) as reader:
        assert reader.readable()
        assert b"".join(iter(lambda: reader.read(700_001), b"")) == plaintext
        assert not source.closed
    assert source.largest == 1 << 20
    assert source.closed
    reader.close()


@pytest.mark.parametrize("size", [1, 15, 17])
def test_file_with_a_block_cut_behind_whole_ones_is_refused(size: int) -> None:
    key, content = encrypt(b"x" * (1 << 20))
    with pytest.raises(BatchFileError, match="damaged"):
        decrypt(key, content[: -16 + size % 16])
