/** One figure of a benchmark. Printed as one JSON object per line with --json. */
export interface Measurement {
  readonly suite: string;
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** Limit of the figure: an upper bound of a cost, a lower bound of a rate. */
  readonly bound?: number;
  readonly ok?: boolean;
  /** The figure of another system on this kind of machine. `ratio` is `value` divided by it. */
  readonly peer?: { readonly name: string; readonly value: number };
  readonly ratio?: number;
}

/** Returns a figure that must be at most `bound`. */
export function atMost(figure: Omit<Measurement, "ok">): Measurement {
  return { ...figure, ok: figure.bound === undefined || figure.value <= figure.bound };
}

/** Returns a figure that must be at least `bound`. */
export function atLeast(figure: Omit<Measurement, "ok">): Measurement {
  return { ...figure, ok: figure.bound === undefined || figure.value >= figure.bound };
}

/** Formats a figure as a line for people. */
export function describe(measurement: Measurement): string {
  const { suite, name, value, unit, bound, ok, peer, ratio } = measurement;
  const figure = `${suite} ${name}`.padEnd(44) + `${format(value)} ${unit}`.padStart(18);
  const limit =
    bound === undefined ? "" : `  bound ${format(bound)} ${ok === true ? "held" : "MISSED"}`;
  const other =
    peer === undefined ? "" : `  ${peer.name}: ${format(peer.value)} (ratio ${ratio?.toFixed(2)})`;
  return figure + limit + other;
}

function format(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
