import { AshlarError } from "../base/errors.ts";

const NO_MASTER_HINT =
  "Check that these masters run and belong to the cluster: they may have been removed from it";

/** The state of a call across its attempts. */
export interface CallAttempts {
  readonly method: string;
  readonly startMs: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly mayRepeat: boolean;
  /** Called when `uncertain` is set. */
  readonly onUncertain: (() => void) | undefined;
  /** Addresses that were tried. */
  readonly addresses: Set<string>;
  /**
   * Why no connection could be opened in the last attempt at an address, such as "connection
   * refused".
   */
  readonly unreachable: Map<string, string>;
  /** Number of attempts. */
  count: number;
  /** Error of an attempt that may have taken effect. */
  uncertain: AshlarError | null;
  /** The last failed attempt. */
  last: { readonly address: string; readonly error: AshlarError } | null;
}

/**
 * Returns the error of a call that failed. If an attempt may have taken effect, the error has the
 * code of that attempt: a later harmless error must not hide it from the caller. A call that was repeated until
 * its deadline after a lost connection has the code DEADLINE_EXCEEDED.
 */
export function failure(attempts: CallAttempts): AshlarError {
  const { method, addresses, unreachable, count, uncertain, last, signal } = attempts;
  if (last === null) {
    const code = signal?.aborted ? "CANCELLED" : "UNAVAILABLE";
    return new AshlarError(code, `Cannot complete ${method}: expected at least one master address`);
  }
  const { error } = last;
  const hint = error.hint ?? (error.code === "UNAVAILABLE" ? NO_MASTER_HINT : undefined);
  const isRepeated = attempts.mayRepeat && uncertain?.code === "CONNECTION_LOST";
  const failed = isRepeated ? "DEADLINE_EXCEEDED" : (uncertain ?? error).code;
  const code = signal?.aborted ? "CANCELLED" : failed;
  const options = {
    cause: error,
    ...(hint === undefined ? {} : { hint }),
    details: error.details,
  };
  if (code === "UNAVAILABLE" && unreachable.size === addresses.size) {
    const reasons = [...unreachable].map(([address, reason]) => `${address}: ${reason}`).join(", ");
    const message = `Cannot reach any master (${reasons}); is the cluster running?`;
    return new AshlarError(code, message, options);
  }
  const where = [...addresses].join(", ");
  const tries = count === 1 ? "1 attempt" : `${count} attempts`;
  const within = code === "DEADLINE_EXCEEDED" ? ` within ${Math.round(attempts.timeoutMs)} ms` : "";
  const message = `Cannot complete ${method}${within}, ${tries} at ${where}: ${error.message}`;
  return new AshlarError(code, message, options);
}

/** Returns why a connection could not be opened, without the address that the message names. */
export function reasonOf(address: string, { message }: AshlarError): string {
  const prefix = `Cannot connect to ${address}: `;
  return message.startsWith(prefix) ? message.slice(prefix.length) : message;
}
