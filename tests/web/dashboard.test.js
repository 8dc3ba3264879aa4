// The dashboard, as a reader uses it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { openBrowser, screenshot, seriousFaults, until, visit } from "./browser.js";
import { bars, changes, chart, drawn, PHONE, reading as readingOf, symbols, text } from "./reader.js";
import { Server } from "./server.js";

// Two months of days, halved in price by a split in the middle, and the volume doubled.
const DAYS = Array.from({ length: 60 }, (_, day) => new Date(Date.UTC(2024, 0, 2 + day)).toISOString().slice(0, 10));
const IMPORTED = {
  bars: `symbol,date,open,high,low,close,volume\n${DAYS.map((day, n) => `ACME,${day},${n < 30 ? "200,204,198,202,1000" : "100,103,98,102,2000"}`).join("\n")}\n`,
  splits: "symbol,date,numerator,denominator\nACME,2024-02-01,2,1\n",
};

let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([Server.start({ SMARTFIN_SANDBOX_TICKS_PER_SECOND: "4" }), openBrowser()]);
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

const minute = (ms) => Math.floor(ms / 60_000);
const reading = (options, read) => readingOf(browser, server, options, read);

test("a first visit finds a chart and prices that move", () =>
  reading({}, async (page) => {
    assert.equal(await text(page, ".status b"), "Live");
    const opened = await page.evaluate(() => performance.timeOrigin);
    const drawn = await bars(page);
    const begun = minute(Date.now()) - minute(opened); // since when a bar may have begun
    assert(500 <= drawn && drawn <= 500 + begun, `${drawn} bars, and ${begun} minutes have begun`);
    await changes(page, ".row:has-text('BTC-USD') .price");
    await chart(page, "BTC-USD");
    await changes(page, ".bar-values");
    await changes(page, ".plot-values:has-text('RSI') span");
    assert.match(await page.title(), /^BTC-USD \d+\.\d\d [+−]\d+\.\d\d% · SmartFin$/);
    assert.equal(await page.locator(".row .badge").first().textContent(), "synthetic");
    assert.match(await text(page, ".row .origin"), /^sandbox · \d+ s/);
    await screenshot(page, "dark");
  }));

test("a page is light", (t) =>
  reading({}, async (page) => {
    const loaded = await page.evaluate(() => ({
      paintMs: performance.getEntriesByName("first-contentful-paint")[0].startTime,
      files: performance
        .getEntriesByType("resource")
        .map(({ name, encodedBodySize }) => [new URL(name).pathname, encodedBodySize]),
    }));
    t.diagnostic(`first contentful paint after ${Math.round(loaded.paintMs)} ms`);
    for (const [path, bytes] of loaded.files) t.diagnostic(`${path}: ${bytes} bytes on the way`);
    const scripts = loaded.files.filter(([path]) => path.endsWith(".js"));
    assert.equal(scripts.length, 1);
    assert(scripts[0][1] < 110_000, `${scripts[0][1]} bytes of scripts`);
  }));

test("a symbol is found, misspelt, by the keyboard, and stays after a reload", () =>
  reading({}, async (page) => {
    await page.keyboard.press("/");
    await page.keyboard.type("netflx");
    await page.locator("[role=option]").first().waitFor();
    await page.keyboard.press("Enter");
    await page.locator("#charted", { hasText: "NFLX Netflix" }).waitFor();
    await drawn(page);
    assert.equal((await symbols(page)).at(-1), "NFLX");
    await page.reload();
    await page.locator("#charted", { hasText: "NFLX Netflix" }).waitFor();
    assert.equal((await symbols(page)).at(-1), "NFLX");
    await page.locator("[role=combobox]").fill("xyzzyx");
    await page.locator(".popup p", { hasText: "Nothing is like" }).waitFor();
  }));

test("the watchlist is put in order by the keyboard, and told so", () =>
  reading({}, async (page) => {
    const row = (symbol) => page.locator(".row", { hasText: symbol }).locator(".choose");
    await row("AAPL").focus();
    await page.keyboard.press("Alt+ArrowDown");
    assert.deepEqual((await symbols(page)).slice(0, 3), ["MSFT", "AAPL", "NVDA"]);
    await until(async () => (await text(page, ".unseen[role=status]")) === "AAPL is now 2 of 8", "it is told");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.locator("#charted", { hasText: "NVDA" }).waitFor();
    await page.keyboard.press("Delete");
    assert.deepEqual((await symbols(page)).slice(0, 3), ["MSFT", "AAPL", "TSLA"]);
    await until(
      () => row("TSLA").evaluate((element) => element === document.activeElement),
      "the next row has the focus",
    );
    await page.locator(".row").last().dragTo(page.locator(".row").first());
    assert.deepEqual((await symbols(page)).slice(0, 2), ["ETH-USD", "MSFT"]);
  }));

test("an indicator is added, changed and removed, and moves", () =>
  reading({ viewport: { width: 1180, height: 720 } }, async (page) => {
    await chart(page, "BTC-USD");
    await page.getByRole("button", { name: "+ Indicator" }).click();
    await page.getByRole("searchbox").fill("macd");
    await screenshot(page, "picker");
    await page.keyboard.press("Enter");
    await page.getByLabel("fast period").fill("5");
    await screenshot(page, "parameters");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    const macd = page.locator(".plot-values", { hasText: "MACD 5 26 9" });
    await until(async () => !(await macd.textContent().catch(() => "–")).includes("–"), "it has values");
    await changes(page, ".plot-values:has-text('MACD') span");

    await macd.getByRole("button", { name: /^Change/ }).click();
    await page.getByLabel("signal period").fill("4");
    await page.getByRole("button", { name: "Apply" }).click();
    await page.locator(".plot-values", { hasText: "MACD 5 26 4" }).waitFor();

    for (const wanted of ["bollinger bands", "supertrend", "doji"]) {
      await page.getByRole("button", { name: "+ Indicator" }).click();
      await page.getByRole("searchbox").fill(wanted);
      await page.keyboard.press("Enter");
      await page.getByRole("button", { name: "Add", exact: true }).click();
    }
    await page.locator(".plot-values", { hasText: "SuperTrend 10 3" }).waitFor();
    await until(async () => !(await text(page, ".plot-values:has-text('SuperTrend')")).includes("–"), "it is drawn");
    await screenshot(page, "indicators");
    await page.getByRole("button", { name: "Remove MACD 5 26 4" }).click();
    assert.equal(await page.locator(".plot-values", { hasText: "MACD" }).count(), 0);
    assert.equal(await page.locator(".chart > .fault").count(), 0);
  }));

test("a parameter out of its range is refused where it is typed", () =>
  reading({}, async (page) => {
    await page.getByRole("button", { name: "Change EMA 20" }).click();
    await page.getByLabel("period").fill("5000");
    await page.getByRole("button", { name: "Apply" }).click();
    assert.equal(await page.getByLabel("period").evaluate((field) => field.validity.rangeOverflow), true);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Change EMA 20" }).waitFor();
  }));

test("a chart goes back as far as one scrolls, in any interval", () =>
  reading({}, async (page) => {
    await page.getByText("1h", { exact: true }).click();
    await page.locator(".drawing[aria-label^='1h chart of AAPL']").waitFor();
    await drawn(page);
    const { x, y } = await page.locator(".drawing").boundingBox();
    await page.mouse.move(x + 400, y + 200);
    await until(async () => {
      await page.mouse.wheel(-2000, 0);
      return (await bars(page)) >= 1500;
    }, "three pages of bars are there");
    await screenshot(page, "older");
    await page.locator(".drawing").focus();
    await page.keyboard.press("ArrowLeft");
    await until(
      async () => /: open [\d.]+, high [\d.]+/.test(await text(page, ".unseen[role=status]")),
      "a bar is read out",
    );
  }));

test("GraphiQL opens what the chart asks, and it is answered", () =>
  reading({}, async (page) => {
    const [graphiql] = await Promise.all([
      page.context().waitForEvent("page"),
      page.locator(".chart a.button").click(),
    ]);
    await graphiql.locator(".graphiql-execute-button[aria-haspopup=menu]").click();
    await graphiql.getByRole("menuitem", { name: "Chart", exact: true }).click();
    const answer = graphiql.locator(".result-window");
    await until(async () => (await answer.textContent()).includes('"history"'), "the answer is shown");
    await screenshot(graphiql, "graphiql");
  }));

test("a server that was killed and came back is followed again by itself", () =>
  reading({ foreseen: /ERR_CONNECTION_REFUSED/ }, async (page) => {
    await server.end("SIGKILL");
    await page.locator(".status[data-state=waiting]").waitFor();
    assert.match(await text(page, ".status"), /^Reconnecting.* prices are of \d\d:\d\d:\d\d/);
    assert.match(await text(page, ".unseen[role=status]"), /^Reconnecting, prices are of /);
    assert.equal(await page.locator(".row:not(.old)").count(), 0);
    await screenshot(page, "reconnecting");
    await server.begin();
    await page.locator(".status[data-state=live]").waitFor();
    await changes(page, ".row:has-text('BTC-USD') .price");
    await changes(page, ".bar-values");
    assert.equal(await page.locator(".row.old").count(), 0);
  }));

test("a phone shows all of it without scrolling sideways", () =>
  reading({ ...PHONE, colorScheme: "light", bypassCSP: true }, async (page) => {
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
    await changes(page, ".row:has-text('BTC-USD') .price");
    await screenshot(page, "phone");
    assert.deepEqual(await seriousFaults(page), []);
  }));

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds nothing serious in the ${colorScheme}`, () =>
    reading({ colorScheme, bypassCSP: true }, async (page) => {
      await page.locator(".sources li").first().waitFor();
      assert.deepEqual(await seriousFaults(page), []);
      await page.getByRole("button", { name: "+ Indicator" }).click();
      await page.getByRole("searchbox").waitFor();
      assert.deepEqual(await seriousFaults(page), []);
      await screenshot(page, colorScheme === "light" ? "light-picker" : "dark-picker");
    }));
}

test("imported bars are charted with their split, and marked stale where no source has newer ones", async () => {
  const imported = await Server.start({ SMARTFIN_MODE: "live", SMARTFIN_SOURCES: "" }, IMPORTED);
  const { page, complaints, leave } = await visit(browser, imported.url, {
    storageState: {
      cookies: [],
      origins: [
        {
          origin: imported.url,
          localStorage: [
            { name: "smartfin:symbol", value: '"ACME"' },
            { name: "smartfin:interval", value: '"D1"' },
            { name: "smartfin:watchlist", value: '["ACME"]' },
          ],
        },
      ],
    },
  });
  try {
    await drawn(page);
    assert.equal(await bars(page), 60);
    assert.equal(await text(page, "[aria-label='Splits and dividends']"), "2024-02-01: split 2 for 1");
    assert.match(await text(page, ".bar-values"), /O100\.00H103\.00L98\.00C102\.00/);
    assert.deepEqual(await page.locator(".bar-values .badge").allTextContents(), ["stale"]);
    await screenshot(page, "imported");
    assert.deepEqual(complaints, []);
  } finally {
    await leave();
    await imported.remove();
  }
});

test("the reader's colours win over the system's", () =>
  reading({ colorScheme: "dark" }, async (page) => {
    const surface = () => page.evaluate(() => getComputedStyle(document.querySelector(".chart")).backgroundColor);
    const dark = await surface();
    await page.getByLabel("Colours").selectOption("light");
    assert.equal(await surface(), "rgb(255, 255, 255)");
    await page.reload();
    await drawn(page);
    assert.equal(await surface(), "rgb(255, 255, 255)");
    assert.notEqual(dark, "rgb(255, 255, 255)");
    await screenshot(page, "light");
  }));
