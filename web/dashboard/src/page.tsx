import { Account, AccountButton, SessionEnded } from "./account/account";
import { AlertForm } from "./alerts/form";
import { Alerts } from "./alerts/panel";
import { Toasts } from "./alerts/toasts";
import { Announcer } from "./announcer";
import { Chart } from "./chart/chart";
import { Sources } from "./sources/panel";
import { Status } from "./status";
import { ThemeSwitch } from "./theme";
import { Search } from "./watchlist/search";
import { Watchlist } from "./watchlist/watchlist";

export function Page() {
  return (
    <>
      <header class="bar">
        <h1>SmartFin</h1>
        <Search />
        <Status />
        <nav>
          <a href="/graphql">GraphiQL</a>
          <ThemeSwitch />
          <AccountButton />
        </nav>
      </header>
      <SessionEnded />
      <main>
        <Chart />
        <aside>
          <Watchlist />
          <Alerts />
          <Sources />
        </aside>
      </main>
      <footer>
        Charts by <a href="https://www.tradingview.com/">TradingView</a> Lightweight Charts™, Copyright © 2026
        TradingView, Inc.
      </footer>
      <Account />
      <AlertForm />
      <Toasts />
      <Announcer />
    </>
  );
}
