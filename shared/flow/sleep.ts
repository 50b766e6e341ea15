import type { Clock } from "../ports/clock.ts";
import { listenToAbort } from "./abort-listeners.ts";

/** Implements `Clock.sleep` with `Clock.after`. Every clock uses this implementation. */
export function sleepOn(
  clock: Pick<Clock, "after">,
  durationMs: number,
  signal?: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const timer = clock.after(durationMs, () => {
      unlisten?.();
      resolve();
    });
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason);
    };
    const unlisten = signal === undefined ? null : listenToAbort(signal, onAbort);
  });
}
