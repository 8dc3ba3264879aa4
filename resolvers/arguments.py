"""Arguments that several fields take, as clients see them."""

from datetime import datetime
from typing import Annotated

import strawberry

From = Annotated[datetime | None, strawberry.argument(name="from", description="Earliest opening instant, inclusive.")]
To = Annotated[
    datetime | None, strawberry.argument(name="to", description="End of the window, exclusive; now if left out.")
]
Last = Annotated[
    int | None,
    strawberry.argument(description="At most the newest so many bars, 1-5000; 100 where `from` is left out too."),
]
