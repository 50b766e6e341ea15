import { AshlarError } from "../../shared/base/errors.ts";
import type { Clock } from "../../shared/ports/clock.ts";

/**
 * Settles as `work` does, unless that takes longer than `stallMs`: then `giveUp` is called, and what
 * it ends makes `work` fail.
 */
export async function withStallTimeout<T>(
  clock: Clock,
  stallMs: number,
  guarded: { readonly work: Promise<T>; readonly giveUp: (error: AshlarError) => void },
): Promise<T> {
  const timer = clock.after(stallMs, () => {
    guarded.giveUp(new AshlarError("DEADLINE_EXCEEDED", `Nothing has moved for ${stallMs} ms`));
  });
  try {
    return await guarded.work;
  } finally {
    timer.cancel();
  }
}
