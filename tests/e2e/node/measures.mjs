// What the page costs the browser: commands of browser.mjs that measure. Times are milliseconds of the browser's own clock.

/** Marks when the page has something to use, and keeps long tasks, from before its first script. */
const WATCH = () => {
  window.measured = { listedAt: undefined, tasks: [] };
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) window.measured.tasks.push({ at: startTime, ms: duration });
  }).observe({ type: "longtask", buffered: true });
  new MutationObserver((_, observer) => {
    if (!document.querySelector("[data-agent]")) return;
    window.measured.listedAt = performance.now();
    observer.disconnect();
  }).observe(document, { subtree: true, childList: true });
};

/** One notch of a wheel, and the time between two of a fast hand. */
const NOTCH_PX = 400;
const NOTCH_MS = 30;
const MAX_NOTCHES = 5000;

export function measures({ browser, context, page }) {
  let debuggerOfPage;
  return {
    /** Loads the list of agents in a browser that has nothing in its cache. */
    async load({ url }) {
      const fresh = await browser.newContext({ viewport: { width: 1000, height: 800 } });
      try {
        await fresh.addInitScript(WATCH);
        const loaded = await fresh.newPage();
        await loaded.goto(url);
        await loaded.waitForFunction(() => window.measured.listedAt !== undefined);
        return await loaded.evaluate(() => {
          const { listedAt, tasks } = window.measured;
          const paint = performance.getEntriesByName("first-contentful-paint")[0];
          const busyUntil = Math.max(0, ...tasks.filter(({ at }) => at < listedAt).map(({ at, ms }) => at + ms));
          const files = performance.getEntriesByType("resource").filter(({ name }) => name.includes("/console/assets/"));
          const page = performance.getEntriesByType("navigation")[0];
          return {
            first_paint_ms: paint.startTime,
            interactive_ms: Math.max(listedAt, busyUntil),
            bytes: [page, ...files].reduce((sum, { transferSize }) => sum + transferSize, 0),
          };
        });
      } finally {
        await fresh.close();
      }
    },
    watch_tasks: () => page.evaluate(WATCH),
    /** The long tasks since the last time. A browser calls a task long from 50 ms on. */
    long_tasks: () => page.evaluate(() => window.measured.tasks.splice(0).map(({ ms }) => ms)),
    /** Turns the wheel until the oldest message is there; gives the notches. */
    async scroll_to_top() {
      const box = await page.locator("[role=log]").boundingBox();
      await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
      for (let notches = 1; notches <= MAX_NOTCHES; notches += 1) {
        await page.mouse.wheel(0, -NOTCH_PX);
        await page.waitForTimeout(NOTCH_MS);
        const atTop = await page.evaluate(() => {
          const log = document.querySelector("[role=log]");
          const older = [...log.querySelectorAll("button")].some(({ textContent }) => textContent === "Show older messages");
          return log.scrollTop === 0 && !older;
        });
        if (atTop) return notches;
      }
      throw new Error("the wheel does not reach the oldest message");
    },
    /** The last word of the newest message. */
    last_word: () => page.evaluate(() => [...document.querySelectorAll("[data-message-id]")].at(-1)?.textContent?.trim().split(/\s+/).at(-1) ?? ""),
    /** What lives in the page once nothing dead is left. */
    async memory() {
      debuggerOfPage ??= await context.newCDPSession(page);
      // What a collection frees can hold something for the next one.
      for (let times = 0; times < 3; times += 1) await debuggerOfPage.send("HeapProfiler.collectGarbage");
      const { usedSize } = await debuggerOfPage.send("Runtime.getHeapUsage");
      const { nodes } = await debuggerOfPage.send("Memory.getDOMCounters");
      return { heap_bytes: usedSize, nodes };
    },
    version: () => browser.version(),
  };
}
