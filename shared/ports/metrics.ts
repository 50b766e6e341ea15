/**
 * The metrics of a process. Names are Prometheus names with the unit last (`ashlar_seal_seconds`).
 */
export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[]): Counter;
  /** Adds a gauge. `read` is called at every scrape. */
  gauge(name: string, help: string, read: () => number | readonly LabelledValue[]): void;
  /** Adds a histogram of seconds or bytes, as its name says. `buckets` are the upper bounds. */
  histogram(name: string, help: string, buckets: readonly number[]): Histogram;
}

/** A value that only increases. */
export interface Counter {
  add(count: number, labels?: Readonly<Record<string, string>>): void;
}

/** Counts of observed values by bucket. */
export interface Histogram {
  observe(value: number): void;
}

/** One series of a gauge with labels. */
export interface LabelledValue {
  readonly value: number;
  readonly labels: Readonly<Record<string, string>>;
}
