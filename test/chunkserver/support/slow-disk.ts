import { SystemClock } from "../../../shared/platform/system-clock.ts";
import type { Disk, DiskFile } from "../../../shared/ports/disk.ts";

const clock = new SystemClock();

/** Returns a disk whose writes to files take `delayMs` longer. */
export function slowWrites(disk: Disk, delayMs: () => number): Disk {
  const wrap = (file: DiskFile): DiskFile =>
    new Proxy(file, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== "function") return value;
        if (key !== "write") return value.bind(target);
        return async (...args: unknown[]) => {
          await clock.sleep(delayMs());
          return value.apply(target, args);
        };
      },
    });
  return new Proxy(disk, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      if (key !== "open") return value.bind(target);
      return async (...args: Parameters<Disk["open"]>) => wrap(await target.open(...args));
    },
  });
}
