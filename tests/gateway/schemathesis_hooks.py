"""What schemathesis must know of our GraphQL: its scalars, and that only a masked error is a fault of ours."""

import schemathesis
from hypothesis import strategies

TEXTS = {
    "Symbol": ["AAPL", "BTC-USD", "EURUSD=X", "SIM001", "NOSUCH", "$$", ""],
    "DateTime": ["2024-01-02", "2026-01-02T14:30:00Z", "1950-01-01", "2999-01-01", "2024-13-01", ""],
}
for name, texts in TEXTS.items():
    schemathesis.graphql.scalar(name, strategies.sampled_from(texts).map(schemathesis.graphql.nodes.String))


@schemathesis.check
def nothing_unforeseen(_: schemathesis.CheckContext, response: schemathesis.Response, case: object) -> None:
    """Every error of an answer has a code, and none is masked."""
    assert response.status_code == 200, case
    for error in response.json().get("errors", ()):
        assert error["extensions"]["code"] != "INTERNAL_ERROR", error
