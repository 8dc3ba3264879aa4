// What a reader of the dashboard sees and does.
import assert from "node:assert/strict";

import { screenshot, until, visit } from "./browser.js";

export const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
export const PASSWORD = "correct horse battery";

export const bars = (page) => page.locator(".canvas").getAttribute("data-bars").then(Number);
export const drawn = (page) => until(async () => (await bars(page)) > 0, "bars are drawn");
export const text = (page, selector) => page.locator(selector).first().textContent();
export const symbols = (page) => page.locator(".row .symbol").allTextContents();

/** Chart a symbol of the watchlist. The coin moves with every tick; a share may stand still for an hour. */
export async function chart(page, symbol) {
  await page.locator(".row", { hasText: symbol }).locator(".choose").click();
  await page.locator("#charted", { hasText: symbol }).waitFor();
  await drawn(page);
}

/** Passes once the text has become another one. */
export async function changes(page, selector) {
  const first = await text(page, selector);
  await until(async () => (await text(page, selector)) !== first, `${selector} is other than ${first}`);
}

/** A visit to the server; but for what is `foreseen`, the page must have nothing to complain of. */
export async function reading(browser, server, { foreseen, ...options }, read) {
  const { page, complaints, leave } = await visit(browser, server.url, options);
  try {
    await drawn(page);
    await read(page);
    assert.deepEqual(
      complaints.filter((complaint) => !foreseen?.test(complaint)),
      [],
    );
  } catch (error) {
    await screenshot(page, "failed");
    throw error;
  } finally {
    await leave();
  }
}

/** Make the account, or sign in to one that is there. */
export async function signIn(page, email, { isNew = false } = {}) {
  await page.locator(".account").click();
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(PASSWORD);
  if (isNew) await page.getByRole("button", { name: "Make an account" }).click();
  await page.locator("dialog .primary").click();
  await signedIn(page, email);
}

/** Passes once the page says so. */
export const signedIn = (page, email) => page.locator(".account", { hasText: email }).waitFor();
