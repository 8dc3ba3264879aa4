"""Sealing what must not lie open in a table: the key of the server, and where it is kept."""

import base64
import hashlib
import os
from pathlib import Path

from cryptography.fernet import Fernet

from errors import StartError
from settings import SECRET_FILE, Settings


def sealer(settings: Settings) -> Fernet:
    """What seals and opens: of SMARTFIN_SECRET_KEY, else of a key that is made once and kept in the data folder.

    Raises StartError where the folder cannot hold one.
    """
    if settings.secret_key is not None:
        # Any text will do: hashed, it has the length that is needed.
        digest = hashlib.sha256(settings.secret_key.get_secret_value().encode()).digest()
        return Fernet(base64.urlsafe_b64encode(digest))
    path = settings.data_dir / SECRET_FILE
    try:
        return Fernet(_kept(path))
    except (OSError, ValueError) as error:
        raise StartError(f"{path} cannot be used ({error}); mend that, or set SMARTFIN_SECRET_KEY") from None


def _kept(path: Path) -> bytes:
    """The key in the file; made there where there is none, readable by us alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key())
        # Of two processes that begin at once, the first to link it has made the key of both.
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return path.read_bytes()
