"""What clients say that they take and send, in the words that clients use."""

import pytest

from gateway.negotiation import JSON, RESPONSE_JSON, answer_type, is_json, takes_gzip, wants_page

BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        (None, JSON),
        (b"*/*", JSON),
        (b"application/*", JSON),
        (b"application/json", JSON),
        (b"application/graphql-response+json", RESPONSE_JSON),
        (b"Application/GraphQL-Response+JSON; charset=utf-8", RESPONSE_JSON),
        (b"application/graphql-response+json, application/json", RESPONSE_JSON),
        (b"application/json, application/graphql-response+json", RESPONSE_JSON),
        (b"application/graphql-response+json, application/json;q=0.9", RESPONSE_JSON),
        (b"application/graphql-response+json;q=0.5, application/json", JSON),
        (b"application/graphql-response+json, */*", RESPONSE_JSON),
        (b"*/*, application/json;q=0", RESPONSE_JSON),
        (b"application/json;q=0, application/graphql-response+json;q=0", None),
        (b"application/json;q=nonsense", None),
        (b"text/plain", None),
        (b"image/*", None),
        (b"", None),
        (b"," * 400 + b"text/plain", None),
        (BROWSER, JSON),
    ],
)
def test_the_answer_is_of_the_best_type_that_is_taken(accept: bytes | None, answer: str | None) -> None:
    assert answer_type(accept) == answer


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        (BROWSER, True),
        (b"text/html", True),
        (b"*/*", False),
        (b"text/html;q=0", False),
        (b"text/*", False),
        (None, False),
    ],
)
def test_only_a_browser_is_shown_a_page(accept: bytes | None, page: bool) -> None:
    assert wants_page(accept) is page


@pytest.mark.parametrize(
    ("accept_encoding", "gzip"),
    [
        (b"gzip, deflate, br, zstd", True),
        (b"br;q=1, gzip;q=0.1", True),
        (b"*", True),
        (b"gzip;q=0, *", False),
        (b"br", False),
        (b"identity", False),
        (None, False),
    ],
)
def test_gzip_is_for_those_who_take_it(accept_encoding: bytes | None, gzip: bool) -> None:
    assert takes_gzip(accept_encoding) is gzip


@pytest.mark.parametrize(
    ("content_type", "json"),
    [
        (b"application/json", True),
        (b"Application/JSON; Charset=UTF-8", True),
        (b'application/json;charset="utf-8"', True),
        (b"application/json; charset=utf-16", False),
        (b"application/json; charset=latin-1", False),
        (b"application/graphql", False),
        (b"application/x-www-form-urlencoded", False),
        (b"multipart/form-data; boundary=x", False),
        (b"text/plain", False),
        (b"", False),
        (None, False),
    ],
)
def test_a_body_is_json_in_utf_8_and_nothing_else(content_type: bytes | None, json: bool) -> None:
    assert is_json(content_type) is json
