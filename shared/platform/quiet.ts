import type { Log } from "../ports/log.ts";
import type { Counter, Histogram, Metrics } from "../ports/metrics.ts";

/** For a library in somebody's program: says nothing and loads nothing. */
export const quietLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => quietLog,
};

const ignored: Counter & Histogram = { add: () => {}, observe: () => {} };

/** Counts for nobody. */
export const unreadMetrics: Metrics = {
  counter: () => ignored,
  gauge: () => {},
  histogram: () => ignored,
};
