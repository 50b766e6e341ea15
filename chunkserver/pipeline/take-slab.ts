import { AshlarError } from "../../shared/base/errors.ts";
import type { Slab, SlabPool } from "../../shared/flow/slabs.ts";

/** A slab, as soon as there is room for it. @throws {AshlarError} CANCELLED if `signal` aborts first. */
export function takeSlab(slabs: SlabPool, lengthBytes: number, signal: AbortSignal): Promise<Slab> {
  const slab = slabs.take(lengthBytes);
  if (slab !== null) return Promise.resolve(slab);
  return new Promise((resolve, reject) => {
    const cancelled = (): AshlarError =>
      new AshlarError("CANCELLED", "Cannot wait for a buffer: the caller has gone");
    if (signal.aborted) {
      reject(cancelled());
      return;
    }
    const onAbort = (): void => {
      withdraw();
      reject(cancelled());
    };
    const withdraw = slabs.takeSoon(lengthBytes, (lent) => {
      signal.removeEventListener("abort", onAbort);
      resolve(lent);
    });
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
