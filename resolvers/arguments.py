"""Arguments of fields, as clients see them."""

from datetime import datetime
from typing import Annotated

import strawberry

from market import Adjustment, AssetType, Interval, Symbol
from sources.source import Capability

OneSymbol = Annotated[Symbol, strawberry.argument(description="Whose.")]
Symbols = Annotated[list[Symbol], strawberry.argument(description="At most 100.")]
Length = Annotated[Interval, strawberry.argument(description="The length of a bar.")]
From = Annotated[datetime | None, strawberry.argument(name="from", description="Earliest opening instant, inclusive.")]
To = Annotated[
    datetime | None, strawberry.argument(name="to", description="End of the window, exclusive; now if left out.")
]
Last = Annotated[
    int | None,
    strawberry.argument(description="At most the newest so many bars, 1-5000; 100 where `from` is left out too."),
]
Adjusted = Annotated[Adjustment, strawberry.argument(description="How prices and volumes are corrected.")]
MarketCode = Annotated[str, strawberry.argument(description="ISO 10383 MIC, or CRYPTO, FOREX; in any case.")]
First = Annotated[int, strawberry.argument(description="Entries of a page, 1-100.")]
After = Annotated[
    str | None, strawberry.argument(description="`endCursor` of the page before; left out: the first page.")
]

Search = Annotated[str | None, strawberry.argument(description="A part of a symbol or a name, misspelt or not.")]
Kind = Annotated[AssetType | None, strawberry.argument(name="type", description="Only those of this kind.")]
Venue = Annotated[str | None, strawberry.argument(name="market", description="Only those of this market, by its code.")]
Question = Annotated[Capability, strawberry.argument(description="What would be asked of a source.")]
NewestBars = Annotated[int, strawberry.argument(description="How many of the newest bars, 1-5000.")]
MaxPerSecond = Annotated[
    float | None, strawberry.argument(description="Messages of one symbol in a second, over 0 to 1000; null: all.")
]
Active = Annotated[bool | None, strawberry.argument(description="Only those that are, or are not; null: all.")]
ListName = Annotated[str, strawberry.argument(description="Of one of your lists, or a new one; 1-60 characters.")]
Email = Annotated[str, strawberry.argument(description="E-mail address, in any case.")]
Password = Annotated[str, strawberry.argument(description="Send it as a variable, never in the text of a document.")]
RefreshToken = Annotated[str, strawberry.argument(description="What the session gave last.")]
