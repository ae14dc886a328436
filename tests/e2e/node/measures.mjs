// What the page costs the browser: commands of browser.mjs that measure. Times are milliseconds of the browser's own clock.

/** Marks when the page has something to use, and keeps long tasks, from before its first script. */
const WATCH = () => {
  const tasks = [];
  const take = (entries) => tasks.push(...entries.map(({ startTime, duration }) => ({ at: startTime, ms: duration })));
  const observer = new PerformanceObserver((list) => take(list.getEntries()));
  observer.observe({ type: "longtask", buffered: true });
  window.measured = {
    listedAt: undefined,
    /** The long tasks since the last time, also those that nobody has been told of yet. */
    tasks() {
      take(observer.takeRecords());
      return tasks.splice(0);
    },
  };
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
          const { listedAt } = window.measured;
          const tasks = window.measured.tasks();
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
    /** From now on long tasks are kept; those so far are the first. */
    watch_tasks: () => page.evaluate(WATCH),
    /** The long tasks since the last time. A browser calls a task long from 50 ms on. */
    long_tasks: () => page.evaluate(() => window.measured.tasks().map(({ ms }) => ms)),
    /** From now on the tasks of the page's main thread are traced. */
    trace: () => browser.startTracing(page, { categories: ["toplevel"] }),
    /** The most processor time that one traced task took: what it waits for on a busy machine is not in it. */
    async longest_traced() {
      const { traceEvents } = JSON.parse(String(await browser.stopTracing()));
      const thread = ({ pid, tid }) => `${pid}/${tid}`;
      const main = new Set(traceEvents.filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain").map(thread));
      const tasks = traceEvents.filter((event) => event.ph === "X" && event.name.endsWith("RunTask") && main.has(thread(event)));
      if (tasks.length === 0) throw new Error("the trace has no tasks");
      return tasks.reduce((most, { tdur }) => Math.max(most, tdur ?? 0), 0) / 1000;
    },
    /** Turns the wheel until the oldest message is there; gives the notches. */
    async scroll_to_top() {
      const box = await page.locator("[role=log]").boundingBox();
      await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
      for (let notches = 1; notches <= MAX_NOTCHES; notches += 1) {
        await page.mouse.wheel(0, -NOTCH_PX);
        await page.waitForTimeout(NOTCH_MS);
        const atTop = await page.evaluate(() => {
          const log = document.querySelector("[role=log]");
          const hasOlder = log.firstElementChild.tagName === "BUTTON";
          return log.scrollTop === 0 && !hasOlder;
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
