import assert from "node:assert/strict";
import perfHooks from "node:perf_hooks";
import { describe, it } from "node:test";
import { PrometheusMetrics } from "../../../shared/platform/prometheus-metrics.ts";

describe("Prometheus metrics", () => {
  it("count with and without labels", async () => {
    const metrics = new PrometheusMetrics();
    metrics.counter("a_total", "All").add(3);
    const labelled = metrics.counter("b_total", "By kind", ["kind"]);
    labelled.add(1, { kind: "x" });
    labelled.add(2, { kind: "x" });
    const { text } = await metrics.scrape();
    assert.match(text, /^# HELP a_total All$/m);
    assert.match(text, /^# TYPE a_total counter$/m);
    assert.match(text, /^a_total 3$/m);
    assert.match(text, /^b_total\{kind="x"\} 3$/m);
  });

  it("read a gauge at every scrape, and drop an ended series", async () => {
    const metrics = new PrometheusMetrics();
    let peers = [
      { value: 1, labels: { peer: 'a"b' } },
      { value: 2, labels: { peer: "c" } },
    ];
    metrics.gauge("lag", "Lag", () => peers);
    metrics.gauge("plain", "One number", () => 7);
    const first = await metrics.scrape();
    assert.match(first.text, /^lag\{peer="a\\"b"\} 1$/m);
    assert.match(first.text, /^lag\{peer="c"\} 2$/m);
    assert.match(first.text, /^plain 7$/m);
    peers = [{ value: 5, labels: { peer: "c" } }];
    const second = await metrics.scrape();
    assert.match(second.text, /^lag\{peer="c"\} 5$/m);
    assert.doesNotMatch(second.text, /a\\"b/);
  });

  it("sort observed values into buckets", async () => {
    const metrics = new PrometheusMetrics();
    const histogram = metrics.histogram("seal_seconds", "Seal", [0.1, 1]);
    for (const value of [0.05, 0.5, 5]) histogram.observe(value);
    const { text } = await metrics.scrape();
    assert.match(text, /^seal_seconds_bucket\{le="0\.1"\} 1$/m);
    assert.match(text, /^seal_seconds_bucket\{le="\+Inf"\} 3$/m);
    assert.match(text, /^seal_seconds_sum 5\.55$/m);
  });

  it("include the process, with the lag of the event loop", async () => {
    const metrics = new PrometheusMetrics();
    metrics.addProcessMetrics();
    const { text } = await metrics.scrape();
    assert.match(text, /^nodejs_eventloop_lag_seconds /m);
    assert.match(text, /^process_resident_memory_bytes /m);
  });

  it("measure the lag of the event loop only from the first scrape: it wakes the process 100 times a second", async (context) => {
    const monitor = context.mock.method(perfHooks, "monitorEventLoopDelay");
    const metrics = new PrometheusMetrics();
    metrics.addProcessMetrics();
    assert.equal(monitor.mock.callCount(), 0);
    await metrics.scrape();
    await metrics.scrape();
    assert.equal(monitor.mock.callCount(), 1);
  });

  it("are separate for two instances in one process, and assert unique names", async () => {
    const first = new PrometheusMetrics();
    const second = new PrometheusMetrics();
    first.counter("a_total", "A").add(1);
    second.counter("a_total", "A");
    second.gauge("g", "G", () => 1);
    assert.match((await second.scrape()).text, /^a_total 0$/m);
    assert.throws(() => first.counter("a_total", "A"), { name: "AssertionError" });
    assert.throws(() => second.histogram("g", "G", [1]), { name: "AssertionError" });
  });
});
