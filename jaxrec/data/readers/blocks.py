"""Files, plain, gzip or one alone in a zip, as blocks of whole lines, so that memory does not grow with the file."""

from __future__ import annotations

import dataclasses
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from jaxrec.errors import UserError

BLOCK_BYTES = 1 << 26
# A stray quote must not make the rest of a large file one block.
MAX_BLOCKS_IN_QUOTES = 4
_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK\x03\x04"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclasses.dataclass(frozen=True)
class Block:
    """Whole lines, each ended by a line feed. first_line: number of the first, from 1."""

    data: bytes
    first_line: int

    @property
    def num_lines(self) -> int:
        """Physical lines in the block."""
        return self.data.count(b"\n")


def base_name(path: Path) -> str:
    """The lower-case file name without `.gz` or `.zip`."""
    name = path.name.lower()
    return name.removesuffix(".gz").removesuffix(".zip")


def _chunks(path: Path, size: int) -> Iterator[bytes]:
    try:
        with path.open("rb") as raw:
            magic = raw.read(4)
            raw.seek(0)
            stream: IO[bytes] = raw
            if magic.startswith(_GZIP_MAGIC):
                stream = cast(IO[bytes], gzip.GzipFile(fileobj=raw))
            elif magic == _ZIP_MAGIC:
                stream = _only_member(path, raw)
            while chunk := stream.read(size):
                yield chunk
    except EOFError:
        raise UserError(f"{path}: found a truncated gzip file; a complete one is needed") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: found a damaged gzip file ({error}); a complete one is needed") from None
    except zipfile.BadZipFile as error:
        raise UserError(f"{path}: found a damaged zip file ({error}); a complete one is needed") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); a readable file is needed") from None


def _only_member(path: Path, raw: IO[bytes]) -> IO[bytes]:
    """The one file in a zip; what macOS adds to one does not count."""
    archive = zipfile.ZipFile(raw)
    members = [
        entry for entry in archive.infolist() if not entry.is_dir() and not entry.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        raise UserError(f"{path}: found {len(members)} files in a zip; one alone is needed, or unpack it into a folder")
    if members[0].flag_bits & 1:
        raise UserError(f"{path}: found an encrypted zip; one without a password is needed")
    try:
        return archive.open(members[0])
    except NotImplementedError as error:
        raise UserError(f"{path}: {error}; a zip with ordinary compression is needed") from None


def read_blocks(path: Path, size: int = BLOCK_BYTES, quote: bytes = b"") -> Iterator[Block]:
    """The file in blocks of about `size` bytes, cut between lines and, where `quote` is given, outside quotes.

    A byte-order mark at the start and empty lines at the end are left out. Raises UserError where the file is
    absent, unreadable or a truncated gzip.
    """
    carry, line, start = b"", 1, True
    for chunk in _chunks(path, size):
        data = carry + chunk
        if start and len(data) >= len(_BYTE_ORDER_MARK):
            data, start = data.removeprefix(_BYTE_ORDER_MARK), False
        body = data[: data.rfind(b"\n") + 1]
        text = body.rstrip(b"\r\n")
        open_quote = quote and len(data) < MAX_BLOCKS_IN_QUOTES * size and body.count(quote) % 2
        if not text or open_quote:
            carry = data
            continue
        # Empty lines at the end of a block go to the next: only there is it known whether the file ends with them.
        end = body.find(b"\n", len(text)) + 1
        carry = data[end:]
        yield Block(data[:end], line)
        line += data.count(b"\n", 0, end)
    rest = carry.rstrip(b"\r\n")
    if rest:
        yield Block(rest + b"\n", line)


def read_head(path: Path, size: int = 1 << 16) -> bytes:
    """The first bytes of the content (unpacked, without a byte-order mark)."""
    for chunk in _chunks(path, size):
        return chunk.removeprefix(_BYTE_ORDER_MARK)
    return b""


def read_text(path: Path) -> str:
    """A whole small file, UTF-8 or, failing that, Latin-1 (as the older MovieLens files are)."""
    data = b"".join(_chunks(path, BLOCK_BYTES)).removeprefix(_BYTE_ORDER_MARK)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
