"""Publishing documents: a JSON file of texts by id, as the build of a client writes it."""

from pathlib import Path

import orjson

from db.documents import DocumentStore, document_hash
from errors import RequestError, StartError
from gateway.documents import Documents

_HASH_ID = "sha256:"


async def publish(manifest: Path, documents: Documents, store: DocumentStore) -> int:
    """How many documents were published: all of the file, or none.

    Raises StartError with a line for each that cannot be: one that would not be served, or whose id has another text.
    An id keeps its text for good, as every process keeps what it has read. Raises StoreUnavailable.
    """
    texts = _read(manifest)
    wrong = []
    for document_id, text in texts.items():
        try:
            documents.check(text)
        except RequestError as error:
            wrong.append(f"{document_id}: {error}")
            continue
        if document_id.startswith(_HASH_ID) and document_id != _HASH_ID + document_hash(text):
            wrong.append(f"{document_id}: the hash of the text is {document_hash(text)}")
        elif await store.published(document_id) not in (None, text):
            wrong.append(f"{document_id}: another text was published under this id; take a new one")
    if wrong:
        raise StartError("Nothing was published.\n" + "\n".join(wrong))
    if texts:
        await store.publish(texts)
    return len(texts)


def _read(manifest: Path) -> dict[str, str]:
    try:
        texts = orjson.loads(manifest.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise StartError(f"{manifest} cannot be read: {error}") from None
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise StartError(f'{manifest} is not a JSON object of texts by id: {{"chart": "query …"}}')
    return texts
