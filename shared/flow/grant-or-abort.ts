import { listenToAbort } from "./abort-listeners.ts";

/**
 * Resolves with what `request` passes on, possibly within its call. `request` returns a function that cancels
 * it.
 *
 * @throws the reason of `signal` if it aborts first
 */
export function grantOrAbort<Grant>(
  signal: AbortSignal,
  request: (onGrant: (grant: Grant) => void) => () => void,
): Promise<Grant> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const unlisten = listenToAbort(signal, () => {
      cancel();
      reject(signal.reason);
    });
    const cancel = request((grant) => {
      unlisten();
      resolve(grant);
    });
  });
}
