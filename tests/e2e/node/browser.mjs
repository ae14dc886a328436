// Drives Debian's Chromium by commands: one JSON object a line in, one a line out.
//
// Usage: browser.mjs CHROMIUM
//
// Waits are those of Playwright, for conditions. What the page must never do is recorded all the time: errors, refused
// resources, dialogs, new pages, and requests to anywhere but the server of the page.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(process.env.NODE_CLIENTS);
const { chromium } = require("playwright-core");
const AXE = require.resolve("axe-core/axe.min.js");
const TIMEOUT_MS = 30_000;

const browser = await chromium.launch({ executablePath: process.argv[2], args: ["--no-sandbox", "--disable-gpu"] });
const context = await browser.newContext({ viewport: { width: 1000, height: 800 } });
context.setDefaultTimeout(TIMEOUT_MS);
// The page's policy forbids scripts of others; the debugger's it does not see.
await context.addInitScript({ path: AXE });
const page = await context.newPage();
const seen = { errors: [], foreign: [], dialogs: [], pages: 0 };
let origin;

page.on("pageerror", (error) => seen.errors.push(String(error)));
page.on("console", (message) => {
  // A gateway that is away is no error of the page.
  if (message.type() === "error" && !/Failed to load resource|net::ERR/.test(message.text())) seen.errors.push(message.text());
});
page.on("dialog", (dialog) => (seen.dialogs.push(dialog.message()), dialog.dismiss()));
context.on("page", () => (seen.pages += 1));
context.on("request", (request) => {
  if (origin && new URL(request.url()).origin !== origin) seen.foreign.push(request.url());
});

const COMMANDS = {
  async open({ url }) {
    origin = new URL(url).origin;
    await page.goto(url);
  },
  go: ({ hash }) => page.evaluate((hash) => void (window.location.hash = hash), hash),
  reload: () => page.reload(),
  viewport: ({ width, height, dark }) =>
    Promise.all([page.setViewportSize({ width, height }), page.emulateMedia({ colorScheme: dark ? "dark" : "light" })]),
  fill: ({ label, text }) => page.getByLabel(label, { exact: false }).first().fill(text),
  press: ({ key }) => page.keyboard.press(key),
  type: ({ text }) => page.keyboard.type(text),
  click: ({ role, name, within }) => {
    const scope = within ? page.locator(within) : page;
    return scope.getByRole(role, { name, exact: true }).first().click();
  },
  see: ({ text, within }) => page.locator(within ?? "body").getByText(text).first().waitFor(),
  gone: ({ text }) => page.getByText(text).first().waitFor({ state: "hidden" }),
  title: () => page.title(),
  hash: () => page.evaluate(() => window.location.hash),
  /** The messages on the screen, in order: a tool call and its result are one card. */
  messages: () =>
    page.locator("[data-message-id]").evaluateAll((elements) =>
      elements.map((element) => ({
        id: element.dataset.messageId,
        response_id: element.dataset.responseId ?? null,
        text: element.textContent,
      })),
    ),
  count: ({ selector }) => page.locator(selector).count(),
  focused: () => page.evaluate(() => document.activeElement?.textContent ?? ""),
  async axe() {
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).slice(0, 3).join(" ")}`);
  },
  screenshot: ({ path }) => page.screenshot({ path }).then(() => undefined),
  seen: () => seen,
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...options } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await COMMANDS[command](options)) ?? null };
  } catch (error) {
    const shown = await page.evaluate(() => document.body.innerText).catch(() => "");
    answer = { error: `${error.message}\nThe page shows:\n${shown.slice(0, 4000)}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
