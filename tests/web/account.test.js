// What belongs to an account.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { openBrowser, screenshot, seriousFaults, until } from "./browser.js";
import { drawn, reading as readingOf, signedIn, signIn, symbols } from "./reader.js";
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
const isAnswerTo = (mutation) => (response) => !!response.request().postData()?.includes(`mutation ${mutation}(`);

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
