import type { Log } from "../ports/log.ts";

/** What a role's `main.ts` does with its process. */
export interface ProcessDeps {
  readonly log: Log;
  /** The first SIGTERM or SIGINT: begin an orderly stop. */
  readonly onStop: (signal: NodeJS.Signals) => void;
  /** The second one, or a bug that nobody caught: end now with this status. */
  readonly exit: (status: number) => void;
}

/** Exit status after a bug, as sysexits(3) has it for EX_SOFTWARE. */
const STATUS_OF_A_BUG = 70;

/**
 * Watches the signals and the errors of the process. An error that nobody caught ends it: its state
 * may be wrong, and its peers repair what it held.
 */
export function watchProcess({ log, onStop, exit }: ProcessDeps): Disposable {
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping) {
      log.warn("Stopped at once by a second signal", { signal });
      exit(signal === "SIGINT" ? 130 : 143);
      return;
    }
    stopping = true;
    log.info("Stopping", { signal });
    onStop(signal);
  };
  const onBug = (error: unknown): void => {
    log.error("Stopped by a bug", { error });
    exit(STATUS_OF_A_BUG);
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
