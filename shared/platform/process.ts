import type { Log } from "../ports/log.ts";

/** Dependencies of `watchProcess`. */
export interface ProcessDeps {
  readonly log: Log;
  /** Starts a graceful stop. Called at the first SIGTERM or SIGINT. */
  readonly onStop: (signal: NodeJS.Signals) => void;
  /** Exits immediately with this status. Called at the second signal and at an uncaught error. */
  readonly exit: (status: number) => void;
}

/** Exit status after a bug: EX_SOFTWARE of sysexits(3). */
const BUG_EXIT_STATUS = 70;

/**
 * Watches the signals and the uncaught errors of the process. An uncaught error ends the process:
 * its state may be wrong. Its peers repair the data that it held.
 */
export function watchProcess({ log, onStop, exit }: ProcessDeps): Disposable {
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping) {
      log.warn("Exiting without a graceful stop after a second signal", { signal });
      exit(signal === "SIGINT" ? 130 : 143);
      return;
    }
    stopping = true;
    log.info("Stopping", { signal });
    onStop(signal);
  };
  const onBug = (error: unknown): void => {
    log.error("Exiting after an uncaught error", { error });
    exit(BUG_EXIT_STATUS);
  };
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  process.on("uncaughtException", onBug).on("unhandledRejection", onBug);
  return {
    [Symbol.dispose]: () => {
      process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
      process.off("uncaughtException", onBug).off("unhandledRejection", onBug);
    },
  };
}
