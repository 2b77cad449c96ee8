"""The outermost layer of a batch file: AES-256-CBC with PKCS#5 padding; the first block is the IV."""

from __future__ import annotations

import io
from typing import BinaryIO

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC

from destination.errors import BatchFileError

KEY_BYTES = 32
BLOCK_BYTES = AES256.block_size // 8
READ_BYTES = 1 << 20
DAMAGED = "is damaged, truncated or encrypted with another key"


class DecryptingReader(io.RawIOBase):
    """A stream that decrypts another; holds about 1 MiB of plaintext at a time.

    Args:
        ciphertext: the encrypted file, open for reading; closed together with this stream.
        key: the file's 32 raw bytes.

    Raises:
        BatchFileError: for a key of another length, a file that is not whole blocks, or padding that
            is wrong; the latter two only once the end of the file has been read.
    """

    def __init__(self, ciphertext: BinaryIO, key: bytes) -> None:
        self._ciphertext = ciphertext  # first: `close` runs even where this raises
        if len(key) != KEY_BYTES:
            raise BatchFileError(f"its key has {len(key)} bytes instead of {KEY_BYTES}")
        iv = ciphertext.read(BLOCK_BYTES)
        if len(iv) != BLOCK_BYTES:
            raise BatchFileError(DAMAGED)
        self._cipher = Cipher(AES256(key), CBC(iv)).decryptor()
        self._plaintext = memoryview(b"")
        self._next = ciphertext.read(READ_BYTES)
        if not self._next:
            raise BatchFileError(DAMAGED)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._plaintext and self._next:
            self._plaintext = memoryview(self._decrypt_chunk())
        size = min(len(buffer), len(self._plaintext))
        buffer[:size] = self._plaintext[:size]
        self._plaintext = self._plaintext[size:]
        return size

    def close(self) -> None:
        if not self.closed:
            self._ciphertext.close()
        super().close()

    def _decrypt_chunk(self) -> bytes:
        chunk, self._next = self._next, self._ciphertext.read(READ_BYTES)
        if len(chunk) % BLOCK_BYTES:
            raise BatchFileError(DAMAGED)
        plaintext = self._cipher.update(chunk)
        return plaintext if self._next else _without_padding(plaintext)


def _without_padding(plaintext: bytes) -> bytes:
    size = plaintext[-1]
    if not 1 <= size <= BLOCK_BYTES or plaintext[-size:] != bytes([size]) * size:
        raise BatchFileError(DAMAGED)
    return plaintext[:-size]
