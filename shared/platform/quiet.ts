import type { Log } from "../ports/log.ts";
import type { Counter, Histogram, Metrics } from "../ports/metrics.ts";

/** A log without output, for a program that uses the library. It loads no logging package. */
export const quietLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => quietLog,
};

const ignored: Counter & Histogram = { add: () => {}, observe: () => {} };

/** Metrics without values, for a program that uses the library. */
export const unreadMetrics: Metrics = {
  counter: () => ignored,
  gauge: () => {},
  histogram: () => ignored,
};
