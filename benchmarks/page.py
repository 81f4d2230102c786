"""The page in Chromium: how much it loads, how soon it can be used, and whether it keeps up with a fast stream.

    python -m benchmarks.page --out benchmarks/results/page.json

Starts ``mavis serve`` with the model that ships. The page is opened in a fresh profile several times: bytes and
requests are what the browser got, and it is interactive when the sliders of the server's objectives are there. Then an
answer streams at a set rate, whatever the machine can generate: its events, each with a token's report, are made inside
the page, so neither the model nor the network is measured. Tasks of more than 50 ms are counted as the browser reports
them; on a machine that is busy otherwise (``load_average``) the times say nothing, only the processor's time that the
page itself took (``busy_us_per_token``). Ends with an error where there was a long task.
"""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.machine import describe
from scripts.chromium import CHROMIUM, FLAGS
from scripts.served import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession, Page


# Before the page's own scripts: what takes long is noted, and the stream comes from here.
WATCH = """
window.longTasks = [];
new PerformanceObserver((list) => list.getEntries().forEach((task) => window.longTasks.push(task.duration)))
  .observe({ type: "longtask", buffered: true });
const look = () => {
  const sliders = document.querySelector("#weights-place mavis-weights")?.shadowRoot.querySelectorAll("mavis-slider");
  if (sliders?.length) window.interactive = performance.now();
  else requestAnimationFrame(look);
};
look();
"""
STREAM = """
([rate, seconds]) => {
  const real = window.fetch;
  const words = [" the", " thrush", " sings", " while", " it", " is", " written", ",", " and", " so", " on", ".\\n"];
  const event = (choice) => `data: ${JSON.stringify({ id: "chatcmpl-made", choices: [choice] })}\\n\\n`;
  const token = (i) => {
    const text = words[i % words.length];
    const report = { token: text, token_id: i, logprob: -1 - (i % 5) / 2, base_logprob: -1.5, steering_nats: 0.2,
      truncation_nats: 0.05, values: { cheerful: 0.5, concise: -0.2, curious: 0.1, factual: 0 } };
    return event({ index: 0, delta: { content: text }, finish_reason: null, guidance: { tokens: [report] } });
  };
  const body = () => new ReadableStream({
    start(out) {
      const [encoder, began, total] = [new TextEncoder(), performance.now(), rate * seconds];
      let sent = 0;
      const timer = setInterval(() => {
        const due = Math.min(total, Math.floor(((performance.now() - began) / 1000) * rate));
        while (sent < due) out.enqueue(encoder.encode(token(sent++)));
        if (sent < total) return;
        clearInterval(timer);
        out.enqueue(encoder.encode(event({ index: 0, delta: {}, finish_reason: "stop" }) + "data: [DONE]\\n\\n"));
        out.close();
      }, 5);
    },
  });
  window.fetch = async (...given) => String(given[0]).includes("/chat/completions")
    ? new Response(body(), { headers: { "content-type": "text/event-stream" } })
    : real(...given);
  window.longTasks.length = 0;
}
"""


def opened(browser: Browser, url: str) -> tuple[Page, dict[str, Any]]:
    """A page in a profile of its own, when it can be used, and what that took."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.add_init_script(WATCH)
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    sizes: list[int] = []
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(url)
    page.locator("#weights-place mavis-slider").last.wait_for()
    page.wait_for_function("window.interactive")
    milliseconds = page.evaluate("window.interactive")
    return page, {"requests": len(sizes), "bytes": sum(sizes), "interactive_ms": round(milliseconds)}


def streamed(page: Page, rate: int, seconds: int) -> dict[str, Any]:
    """What one answer of ``rate`` tokens a second did to the page; raises playwright's TimeoutError."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.evaluate(STREAM, [rate, seconds])
    before = busy(cdp)
    page.fill("#prompt", "Sing.")
    page.press("#prompt", "Enter")
    page.locator("#view-chat .answer[data-state=done]").wait_for(timeout=1000 * (10 * seconds + 60))
    spent = busy(cdp) - before
    tasks = sorted(page.evaluate("window.longTasks"))
    return {
        "tokens": page.locator("#view-chat .token").count(),
        "seconds": seconds,
        "tokens_per_second": rate,
        "long_tasks": len(tasks),
        "longest_ms": round(max(tasks, default=0)),
        "busy_us_per_token": round(1e6 * spent / (rate * seconds)),
    }


def busy(cdp: CDPSession) -> float:
    """Seconds that the page's main thread has run."""
    metrics = cdp.send("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


def measure(url: str, rate: int, seconds: int, runs: int) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        loads = []
        for _ in range(runs):
            page, load = opened(browser, url)
            loads.append(load)
        stream = streamed(page, rate, seconds)
        version = browser.version
        browser.close()
    times = [load["interactive_ms"] for load in loads]
    return {
        "chromium": version,
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "requests": loads[-1]["requests"],
        "bytes": loads[-1]["bytes"],
        "interactive_ms": {"median": statistics.median(times), "all": times},
        "stream": stream,
    }


def main(
    out: Annotated[Path, typer.Option(help="where the figures go, as JSON")],
    rate: Annotated[int, typer.Option(help="tokens per second")] = 200,
    seconds: Annotated[int, typer.Option(help="how long the answer is")] = 10,
    runs: Annotated[int, typer.Option(help="times that the page is opened")] = 5,
) -> None:
    """One run."""
    if CHROMIUM is None:
        raise typer.BadParameter("there is no Chromium on this machine")
    with served() as server:
        found = measure(server.url, rate, seconds, runs)
    out.write_text(json.dumps({"machine": describe(), **found}, indent=2) + "\n", encoding="utf-8")
    typer.echo(json.dumps(found, indent=2))
    if found["stream"]["long_tasks"]:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
