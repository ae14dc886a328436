// Drives Debian's Chromium by commands: one JSON object a line in, one a line out.
//
// Usage: browser.mjs CHROMIUM
//
// Waits are those of Playwright, for conditions. What the page must never do is recorded all the time: errors, refused
// resources, dialogs, new pages, and requests to anywhere but the server of the page.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

import { measures } from "./measures.mjs";

const require = createRequire(process.env.NODE_CLIENTS);
const { chromium } = require("playwright-core");
const AXE = require.resolve("axe-core/axe.min.js");
const TIMEOUT_MS = 30_000;
/** No page has so many places for the keyboard. */
const MAX_TABS = 150;

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

/** What the network has carried: each answer, and its body where it is not a stream. */
const network = [];
page.on("response", (response) => {
  const headers = response.headers();
  const isStream = headers["content-type"]?.startsWith("text/event-stream") ?? false;
  // A redirect and a request that was given up have no body.
  const body = isStream ? Promise.resolve(null) : response.text().catch(() => null);
  const request = response.request();
  network.push(
    body.then((body) => ({
      method: request.method(),
      url: response.url(),
      status: response.status(),
      authorization: request.headers().authorization ?? null,
      stream: isStream,
      body,
    })),
  );
});

/** Files as Playwright takes them. */
const payloads = (files) =>
  files.map(({ name, base64 }) => ({ name, mimeType: "application/octet-stream", buffer: Buffer.from(base64, "base64") }));

/** Names of the files that the page has given to the user. */
const downloads = [];
page.on("download", (download) => downloads.push(download.suggestedFilename()));

/** The name of what the keyboard is on, as a screen reader says it, or nearly. */
const focusedName = () =>
  page.evaluate(() => {
    const element = document.activeElement;
    if (!element || element === document.body) return "";
    const label = element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent ?? "";
    return label.trim();
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
  /** Chooses files for the message that is being written, once they can be chosen. */
  async attach({ files }) {
    await page.getByRole("button", { name: "Attach files" }).click({ trial: true });
    await page.locator("input[type=file]").setInputFiles(payloads(files));
  },
  /** Presses the key on what has the focus, and chooses these files in the window that the browser opens for it. */
  async choose({ key, files }) {
    const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.keyboard.press(key)]);
    await chooser.setFiles(payloads(files));
  },
  downloads: () => downloads,
  /** Pictures that the conversation shows, as the browser has decoded them. */
  pictures: () =>
    page.locator("[role=log] img").evaluateAll((images) => images.filter((image) => image.complete && image.naturalWidth > 0).map((image) => image.alt)),
  press: ({ key }) => page.keyboard.press(key),
  type: ({ text }) => page.keyboard.type(text),
  click: ({ role, name, within }) => {
    const scope = within ? page.locator(within) : page;
    return scope.getByRole(role, { name, exact: true }).first().click();
  },
  see: ({ text, within }) => page.locator(within ?? "body").getByText(text).first().waitFor(),
  gone: ({ text, within }) => page.locator(within).getByText(text).first().waitFor({ state: "hidden" }),
  select: ({ label, option }) => page.getByLabel(label, { exact: true }).selectOption({ label: option }).then(() => undefined),
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
  /** Goes with the Tab key to what has this name, which must be seen to have the focus. */
  async tab_to({ name, within }) {
    for (let tabs = 0; tabs < MAX_TABS; tabs += 1) {
      await page.keyboard.press("Tab");
      if (!(await focusedName()).startsWith(name)) continue;
      if (within && !(await page.evaluate((within) => document.activeElement.closest(within) !== null, within))) continue;
      const ring = await page.evaluate(() => {
        const { outlineStyle, boxShadow } = getComputedStyle(document.activeElement);
        return outlineStyle !== "none" || boxShadow !== "none";
      });
      if (!ring) throw new Error(`${name} has the focus, and nothing shows it`);
      return;
    }
    throw new Error(`the Tab key does not reach ${name}`);
  },
  network: () => Promise.all(network),
  location: () => page.evaluate(() => window.location.href),
  /** Requests to other servers than that of the page, since the last time. */
  foreign: () => seen.foreign.splice(0),
  clear_network: () => void network.splice(0),
  async axe() {
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).slice(0, 3).join(" ")}`);
  },
  /** Whether all of the first element with this role and name is in the view, with nothing over its middle. */
  in_view: ({ role, name }) =>
    page.getByRole(role, { name, exact: true }).first().evaluate((element) => {
      const { left, top, right, bottom } = element.getBoundingClientRect();
      const inWindow = left >= 0 && top >= 0 && right <= window.innerWidth && bottom <= window.innerHeight;
      return inWindow && element.contains(document.elementFromPoint((left + right) / 2, (top + bottom) / 2));
    }),
  /** How far the page is wider than the window. */
  overflow: () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
  /** Names of the animations that run, for a user who wants none. */
  async animations() {
    await page.emulateMedia({ reducedMotion: "reduce" });
    return page.evaluate(() => document.getAnimations().map((animation) => animation.animationName ?? animation.transitionProperty));
  },
  /** A user who has allowed notifications looks elsewhere. */
  hide: () =>
    page.evaluate(() => {
      window.notified = [];
      window.Notification = class {
        static permission = "granted";
        constructor(title, { body }) {
          window.notified.push(`${title}: ${body}`);
        }
      };
      Object.defineProperty(document, "hidden", { configurable: true, value: true });
    }),
  notifications: () => page.evaluate(() => window.notified),
  screenshot: ({ path }) => page.screenshot({ path }).then(() => undefined),
  seen: () => seen,
  ...measures({ browser, context, page }),
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
