"""The secret of the server, and the keys that are made of it: one seals what a table holds, one signs tokens."""

import base64
import hashlib
import os
from pathlib import Path

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from errors import StartError
from settings import SECRET_FILE, Settings


def sealer(settings: Settings) -> Fernet:
    """What seals and opens: of SMARTFIN_SECRET_KEY, else of a key that is made once and kept in the data folder.

    Raises StartError where the folder cannot hold one.
    """
    if settings.secret_key is not None:
        # Any text will do: hashed, it has the length that is needed.
        return Fernet(base64.urlsafe_b64encode(hashlib.sha256(_secret(settings)).digest()))
    return Fernet(_secret(settings))


def token_key(settings: Settings) -> bytes:
    """The 32 bytes that sign the access tokens of the mode, of the same secret (HKDF, RFC 5869).

    Raises StartError where the folder cannot hold one.
    """
    return _derived(settings, f"access tokens {settings.mode}")


def refresh_key(settings: Settings) -> bytes:
    """The 32 bytes that each refresh token of the mode is made with of the one before, of the same secret.

    Raises StartError where the folder cannot hold one.
    """
    return _derived(settings, f"refresh tokens {settings.mode}")


def webhook_key(settings: Settings) -> bytes:
    """The 32 bytes that what signs each user's webhooks is made of, of the same secret.

    Raises StartError where the folder cannot hold one.
    """
    return _derived(settings, f"webhooks {settings.mode}")


def _derived(settings: Settings, purpose: str) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=f"smartfin {purpose}".encode()).derive(_secret(settings))


def _secret(settings: Settings) -> bytes:
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    path = settings.data_dir / SECRET_FILE
    try:
        return _checked(_kept(path))
    except (OSError, ValueError) as error:
        raise StartError(f"{path} cannot be used ({error}); mend that, or set SMARTFIN_SECRET_KEY") from None


def _checked(key: bytes) -> bytes:
    Fernet(key)  # raises ValueError
    return key


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
