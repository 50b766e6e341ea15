import { AshlarError } from "../../shared/base/errors.ts";
import type { Clock } from "../../shared/ports/clock.ts";

/**
 * Settles as `work` does. If `work` is still pending after `stallMs`, calls `onStall`, which must
 * abort the operation so that `work` rejects.
 */
export async function withStallTimeout<T>(
  clock: Clock,
  stallMs: number,
  guarded: { readonly work: Promise<T>; readonly onStall: (error: AshlarError) => void },
): Promise<T> {
  const timer = clock.after(stallMs, () => {
    guarded.onStall(
      new AshlarError(
        "DEADLINE_EXCEEDED",
        `Cannot continue the transfer: no progress for ${stallMs} ms`,
      ),
    );
  });
  try {
    return await guarded.work;
  } finally {
    timer.cancel();
  }
}
