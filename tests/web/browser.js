// A Chromium of one's own, and what a test asks of a page.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const SCREENSHOTS = new URL("../../build/screenshots/", import.meta.url).pathname;
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
/** How long a loaded machine may take for anything. */
const PATIENCE_MS = 60_000;
const SERIOUS = ["serious", "critical"];

export async function openBrowser() {
  await mkdir(SCREENSHOTS, { recursive: true });
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: ["--no-sandbox"] });
}

/** A page of a reader who was never here; what its console says against it is collected in `complaints`. */
export async function visit(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "dark", ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.goto(url);
  return { page, complaints, leave: () => context.close() };
}

export function screenshot(page, name) {
  return page.screenshot({ path: `${SCREENSHOTS}${name}.png` });
}

/** Passes once the question has a true answer. */
export async function until(question, what, withinMs = PATIENCE_MS) {
  const end = Date.now() + withinMs;
  while (!(await question())) {
    assert(Date.now() < end, `not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What axe-core finds serious, each with the elements that it means; the visit must say `bypassCSP`, as no script may come in. */
export async function seriousFaults(page) {
  await page.addScriptTag({ path: AXE });
  const { violations } = await page.evaluate(() => window.axe.run());
  return violations
    .filter(({ impact }) => SERIOUS.includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`);
}
