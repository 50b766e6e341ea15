import {
  collectDefaultMetrics,
  Gauge,
  Counter as PrometheusCounter,
  Histogram as PrometheusHistogram,
  Registry,
} from "prom-client";
import { assert } from "../base/assert.ts";
import type { Counter, Histogram, LabelledValue, Metrics } from "../ports/metrics.ts";

interface GaugeSource {
  readonly name: string;
  readonly help: string;
  readonly read: () => number | readonly LabelledValue[];
}

/**
 * The metrics of one process, or of one role if several roles share a process. The global registry
 * of prom-client is not used.
 */
export class PrometheusMetrics implements Metrics {
  readonly #registry = new Registry();
  readonly #gauges = new Map<string, GaugeSource>();
  /** Whether the next scrape adds the metrics of the Node process. */
  #lacksProcess = false;

  /**
   * Adds the metrics of the Node process: CPU, memory, event loop lag, garbage collection. They count
   * from the first scrape: the lag is measured a hundred times a second, which is most of the CPU
   * time of an idle daemon.
   */
  addProcessMetrics(): void {
    this.#lacksProcess = true;
  }

  counter(name: string, help: string, labels: readonly string[] = []): Counter {
    this.#checkNew(name);
    const registers = [this.#registry];
    const counter = new PrometheusCounter({ name, help, labelNames: [...labels], registers });
    return {
      add: (count, values) => {
        if (values === undefined) counter.inc(count);
        else counter.inc(values, count);
      },
    };
  }

  gauge(name: string, help: string, read: () => number | readonly LabelledValue[]): void {
    this.#checkNew(name);
    this.#gauges.set(name, { name, help, read });
  }

  histogram(name: string, help: string, buckets: readonly number[]): Histogram {
    this.#checkNew(name);
    const registers = [this.#registry];
    return new PrometheusHistogram({ name, help, buckets: [...buckets], registers });
  }

  /** Returns all current values in the Prometheus text format. */
  async scrape(): Promise<{ readonly contentType: string; readonly text: string }> {
    if (this.#lacksProcess) collectDefaultMetrics({ register: this.#registry });
    this.#lacksProcess = false;
    const gauges = new Registry();
    for (const source of this.#gauges.values()) readGauge(source, gauges);
    const texts = [await this.#registry.metrics(), await gauges.metrics()];
    return { contentType: this.#registry.contentType, text: texts.join("\n") };
  }

  #checkNew(name: string): void {
    const known = this.#gauges.has(name) || this.#registry.getSingleMetric(name) !== undefined;
    assert(!known, `a metric is registered once: ${name}`);
  }
}

/**
 * Creates a gauge for one scrape. The labels are known only at the scrape, and a series that has
 * ended must not be exported.
 */
function readGauge({ name, help, read }: GaugeSource, registry: Registry): void {
  const found = read();
  const values = typeof found === "number" ? [{ value: found, labels: {} }] : found;
  const labelNames = [...new Set(values.flatMap(({ labels }) => Object.keys(labels)))];
  const gauge = new Gauge({ name, help, labelNames, registers: [registry] });
  for (const { value, labels } of values) gauge.set(labels, value);
}
