// What belongs to an account: its session, its watchlists, its alerts.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { openBrowser, screenshot, seriousFaults, until } from "./browser.js";
import { chart, drawn, PHONE, reading as readingOf, signedIn, signIn, symbols, text } from "./reader.js";
import { Server } from "./server.js";

let server;
let browser;

before(async () => {
  // Tokens so short that some are renewed while a test lasts.
  const environment = { SMARTFIN_SANDBOX_TICKS_PER_SECOND: "4", SMARTFIN_ACCESS_TOKEN_SECONDS: "20" };
  [server, browser] = await Promise.all([Server.start(environment), openBrowser()]);
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

const reading = (options, read) => readingOf(browser, server, options, read);
const alertLine = (page) => page.locator(".alert-line");
const isAnswerTo = (mutation) => (response) => !!response.request().postData()?.includes(`mutation ${mutation}(`);

/** Drag the line to so many pixels below the top of the chart. */
async function dragTo(page, below) {
  const [left] = await hold(page);
  const { y } = await page.locator(".drawing").boundingBox();
  await page.mouse.move(left, y + below, { steps: 5 });
  await page.mouse.up();
}

/** Drag the line to the price of now. */
async function dragToPrice(page) {
  const [left, top] = await hold(page);
  const value = async () => Number(await alertLine(page).getAttribute("aria-valuenow"));
  const price = async () => Number(await text(page, ".last b"));
  const down = (await value()) > (await price()) ? 1 : -1;
  for (let moved = 0; down * ((await value()) - (await price())) > 0 && moved < 600; moved += 4)
    await page.mouse.move(left, top + down * moved);
  await page.mouse.up();
}

async function hold(page) {
  const { x, y, width, height } = await alertLine(page).locator("> span").boundingBox();
  const middle = [x + width / 2, y + height / 2];
  await page.mouse.move(...middle);
  await page.mouse.down();
  return middle;
}

test("a session goes on in two tabs, over reloads and the death of the server, until it is ended in one", () =>
  reading({ foreseen: /ERR_CONNECTION_REFUSED/, bypassCSP: true }, async (page) => {
    const email = "session@example.org";
    await signIn(page, email, { isNew: true });
    await page.locator(".account").click();
    await page
      .locator(".budget", { hasText: /^Tierregistered.*[\d,]+ of 20,000 left, all again at \d\d:\d\d$/ })
      .waitFor();
    assert.deepEqual(await seriousFaults(page), []);
    await screenshot(page, "account");
    await page.keyboard.press("Escape");
    assert.equal(
      await page.evaluate(() => JSON.stringify(localStorage).includes("eyJ")),
      false,
      "no access token is kept",
    );

    // Before its end a token is renewed in one tab, and both take the new one without another connection: by a pong.
    const other = await page.context().newPage();
    const renewed = new Set();
    for (const each of [page, other])
      each.on("websocket", (socket) =>
        socket.on("framereceived", ({ payload }) => payload.includes('"expiresAt"') && renewed.add(each)),
      );
    await page.reload();
    await other.goto(server.url);
    for (const each of [page, other]) await signedIn(each, email);
    await until(() => renewed.size === 2, "both connections have taken a new token");

    await server.end("SIGKILL");
    await page.locator(".status[data-state=waiting]").waitFor();
    await server.begin();
    for (const each of [page, other]) {
      await each.locator(".status[data-state=live]").waitFor();
      await signedIn(each, email);
      await each.locator(".alerts .hint", { hasText: "Nothing is waited for" }).waitFor();
    }

    await page.locator(".account").click();
    await page.getByRole("button", { name: "Sign out" }).click();
    for (const each of [page, other]) await signedIn(each, "Sign in");
    await page.reload();
    await drawn(page);
    await signedIn(page, "Sign in");
  }));

test("a wrong password is told, and after ten how long to wait", () =>
  reading({ bypassCSP: true }, async (page) => {
    await page.locator(".account").click();
    await page.getByLabel("E-mail").fill("wrong@example.org");
    await page.getByLabel("Password").fill("not the password");
    const button = page.locator("dialog .primary");
    for (let attempt = 1; attempt <= 10; attempt += 1) {
      const answered = page.waitForResponse(isAnswerTo("SignIn"));
      await button.click();
      await answered;
      await page.locator("dialog [role=alert]", { hasText: "No account has this e-mail address" }).waitFor();
    }
    await button.click();
    await page
      .locator("dialog [role=alert]", { hasText: /^That was tried too often\. Try again in 1[45] min\.$/ })
      .waitFor();
    assert.equal(await button.isDisabled(), true);
    assert.deepEqual(await seriousFaults(page), []);
    await screenshot(page, "sign-in");
  }));

test("a session that the server ended is told", () =>
  reading({ foreseen: /401/ }, async (page) => {
    await page.evaluate(() => localStorage.setItem("smartfin:session", "00000000000000000000000000000000.none"));
    await page.reload();
    await page.locator(".notice", { hasText: "Your session has ended" }).waitFor();
    await drawn(page);
    await page.locator(".notice").getByRole("button", { name: "Sign in" }).click();
    await page.getByLabel("E-mail").waitFor();
  }));

test("watchlists of an account are kept, and seen by another browser", () =>
  reading({}, async (page) => {
    const email = "lists@example.org";
    await signIn(page, email, { isNew: true });
    await page.getByRole("button", { name: "Keep it in my account" }).click();
    const which = page.getByLabel("Which watchlist");
    await until(async () => (await which.inputValue()) === "My list", "the list is in the account");
    await page.getByRole("button", { name: "Remove TSLA" }).click();

    await page.locator(".watchlist").getByRole("button", { name: "New…" }).click();
    await page.getByLabel("Name", { exact: true }).fill("My list");
    assert.equal(
      await page.getByLabel("Name", { exact: true }).evaluate((field) => field.validationMessage),
      "You have a list of this name.",
    );
    await page.getByLabel("Name", { exact: true }).fill("Coins");
    await page.getByRole("button", { name: "Make it" }).click();
    await until(async () => (await which.inputValue()) === "Coins", "the new list is shown");
    await page.locator("[role=combobox]").fill("bitcoin");
    await page.locator("[role=option]", { hasText: "BTC-USD" }).waitFor();
    const saved = page.waitForResponse(isAnswerTo("SaveWatchlist"));
    await page.keyboard.press("Enter");
    await saved;
    await page.reload();
    await page.locator(".row", { hasText: "BTC-USD" }).waitFor();
    assert.deepEqual(await symbols(page), ["BTC-USD"]);

    await reading({}, async (elsewhere) => {
      await signIn(elsewhere, email);
      const there = elsewhere.getByLabel("Which watchlist");
      await until(async () => (await there.inputValue()) === "My list", "the oldest list is shown");
      assert.deepEqual(await symbols(elsewhere), ["AAPL", "MSFT", "NVDA", "SPY", "EURUSD=X", "BTC-USD", "ETH-USD"]);
      elsewhere.on("dialog", (dialog) => dialog.accept());
      await there.selectOption("Coins");
      await screenshot(elsewhere, "watchlists");
      await elsewhere.getByRole("button", { name: "Delete" }).click();
      await until(async () => (await there.inputValue()) === "My list", "the other list is shown");
      await there.selectOption("This browser");
      assert.equal((await symbols(elsewhere)).length, 8);
    });

    await page.reload();
    await until(async () => (await which.inputValue()) === "My list", "the list is gone here, too");
  }));

test("an alert is made by dragging a line, fires, and is seen", () =>
  reading({ bypassCSP: true }, async (page) => {
    await chart(page, "BTC-USD");
    await page.getByRole("button", { name: "+ Alert" }).click();
    await page.locator("dialog .docs", { hasText: "Alerts belong to an account" }).waitFor();
    await page.keyboard.press("Escape");
    await signIn(page, "alerts@example.org", { isNew: true });
    await page.locator(".alerts .hint", { hasText: "Nothing is waited for" }).waitFor();

    await page.getByRole("button", { name: "+ Alert" }).click();
    await alertLine(page).waitFor();
    await screenshot(page, "alert-line");
    // The volume is below all bars, and nothing but the legend above them.
    await dragTo(page, 440);
    await page.locator(".alert", { hasText: "BTC-USD price crosses below" }).waitFor();
    await page.locator(".alert-line:not(.new)").waitFor();
    await dragTo(page, 54);
    await page.locator(".alert", { hasText: "BTC-USD price crosses above" }).waitFor();
    assert.deepEqual(await seriousFaults(page), []);

    // Brought to the price, it is crossed within some ticks, unless the price goes the other way: then again.
    const toast = page.locator(".toast", { hasText: "BTC-USD" });
    await until(async () => {
      await dragToPrice(page);
      return toast.waitFor({ timeout: 8_000 }).then(
        () => true,
        () => false,
      );
    }, "the alert fires");
    await screenshot(page, "alert-fired");
    assert.deepEqual(await seriousFaults(page), []);
    await page.locator(".alert.idle", { hasText: "fired" }).waitFor();
    await page.locator(".events li", { hasText: "this page delivered" }).waitFor();
    await page.getByRole("button", { name: "Dismiss" }).click();
    await toast.waitFor({ state: "detached" });
    await alertLine(page).waitFor({ state: "detached" });

    await page.reload();
    await page.locator(".events li", { hasText: "this page delivered" }).waitFor();
    assert.equal(await toast.count(), 0, "what was seen is not told again");
  }));

test("alerts are made by the keyboard and by a form, paused and deleted, and each message has its fate", () =>
  reading({ ...PHONE, bypassCSP: true }, async (page) => {
    await signIn(page, "forms@example.org", { isNew: true });
    await page.locator(".alerts .hint", { hasText: "Nothing is waited for" }).waitFor();
    await page.getByRole("button", { name: "+ Alert" }).focus();
    await page.keyboard.press("Enter");
    await alertLine(page).waitFor();
    const first = Number(await alertLine(page).getAttribute("aria-valuenow"));
    for (const key of ["PageUp", "ArrowUp", "Enter"]) await page.keyboard.press(key);
    const price = page.locator(".alert", { hasText: "AAPL price crosses" });
    await price.waitFor();
    assert(Number(await alertLine(page).getAttribute("aria-valuenow")) > first);

    await page.getByRole("button", { name: "+ Alert" }).click();
    await page.locator(".alert-line.new").waitFor();
    await page.keyboard.press("Escape");
    await page.locator(".alert-line.new").waitFor({ state: "detached" });

    await price.getByRole("button", { name: "Pause" }).click();
    await page.locator(".alert.idle", { hasText: "paused" }).waitFor();
    assert.equal(await alertLine(page).count(), 0);
    await price.getByRole("button", { name: "Resume" }).click();
    await alertLine(page).waitFor();

    await page.locator(".alerts").getByRole("button", { name: "New…" }).click();
    await page.getByRole("combobox", { name: "When it" }).selectOption("ABOVE");
    await page.getByLabel("Threshold", { exact: true }).fill("1");
    await page.getByLabel("e-mail").check();
    await page.getByRole("button", { name: "Make the alert" }).click();
    await page.locator("dialog [role=alert]", { hasText: "EMAIL is not set up" }).waitFor();
    assert.deepEqual(await seriousFaults(page), []);
    await screenshot(page, "alert-form");
    await page.getByLabel("e-mail").uncheck();
    await page.getByLabel("webhook").check();
    await page.getByRole("textbox", { name: "Webhook" }).fill("https://127.0.0.1/hook");
    await page.getByRole("button", { name: "Make the alert" }).click();
    await page.locator(".toast", { hasText: "AAPL" }).waitFor();
    await page.locator(".events .badge.warning", { hasText: /^webhook failed: / }).waitFor();
    assert.deepEqual(await seriousFaults(page), []);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
    await page.locator(".alerts").scrollIntoViewIfNeeded();
    await screenshot(page, "phone-alerts");

    await page.getByRole("button", { name: /^Delete AAPL price crosses/ }).click();
    await price.waitFor({ state: "detached" });
  }));
