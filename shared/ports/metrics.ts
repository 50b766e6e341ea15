/** What a process counts. Names are Prometheus names with the unit last (`ashlar_seal_seconds`). */
export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[]): Counter;
  /** Read when it is scraped. */
  gauge(name: string, help: string, read: () => number | readonly LabelledValue[]): void;
  /** Seconds or bytes, by the name. */
  histogram(name: string, help: string, buckets: readonly number[]): Histogram;
}

export interface Counter {
  add(count: number, labels?: Readonly<Record<string, string>>): void;
}

export interface Histogram {
  observe(value: number): void;
}

export interface LabelledValue {
  readonly value: number;
  readonly labels: Readonly<Record<string, string>>;
}
