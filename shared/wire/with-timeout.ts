import { AshlarError } from "../base/errors.ts";
import { listenToAbort } from "../flow/abort-listeners.ts";
import type { Clock } from "../ports/clock.ts";

/** Options of `withTimeout`. */
export interface TimeoutOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Subject of the error message: "Connecting to host:port". */
  readonly what: string;
}

/**
 * Returns the result of `work` if it settles before the timeout. Otherwise `work` continues: the
 * caller must ensure that another owner handles it.
 *
 * @throws {AshlarError} DEADLINE_EXCEEDED, CANCELLED
 */
export function withTimeout<Result>(
  work: Promise<Result>,
  options: TimeoutOptions,
): Promise<Result> {
  const { clock, timeoutMs, signal, what } = options;
  return new Promise((resolve, reject) => {
    const finish = (): void => {
      timer.cancel();
      unlisten?.();
    };
    const onAbort = (): void => {
      finish();
      reject(new AshlarError("CANCELLED", `${what} was cancelled`, { cause: signal?.reason }));
    };
    const timer = clock.after(Math.max(0, timeoutMs), () => {
      finish();
      const text = `${what} took longer than ${Math.round(timeoutMs)} ms`;
      reject(new AshlarError("DEADLINE_EXCEEDED", text));
    });
    const unlisten = signal === undefined ? null : listenToAbort(signal, onAbort);
    if (signal?.aborted) onAbort();
    work.then(
      (result) => {
        finish();
        resolve(result);
      },
      (error: unknown) => {
        finish();
        reject(error);
      },
    );
  });
}
