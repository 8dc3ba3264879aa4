"""Passwords at rest."""

from argon2 import extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY

from db.passwords import Passwords

PASSWORD = "correct horse battery staple"


async def test_a_password_matches_itself_and_nothing_else() -> None:
    passwords = Passwords()
    kept = await passwords.hashed(PASSWORD)
    assert extract_parameters(kept) == RFC_9106_LOW_MEMORY
    assert await passwords.match(kept, PASSWORD)
    assert not await passwords.match(kept, PASSWORD + " ")
    # What nobody has costs the same to compare.
    assert extract_parameters(passwords._of_nobody) == RFC_9106_LOW_MEMORY
    assert not await passwords.match(None, PASSWORD)
    passwords.close()


async def test_the_same_letters_are_the_same_password_however_they_are_typed() -> None:
    passwords = Passwords()
    assert await passwords.match(await passwords.hashed("caf\u00e9 au lait, s'il"), "cafe\u0301 au lait, s'il")
    passwords.close()


async def test_what_is_no_hash_matches_nothing() -> None:
    passwords = Passwords()
    assert not await passwords.match("md5:x", PASSWORD)
    passwords.close()
