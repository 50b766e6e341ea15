import type { Log } from "../ports/log.ts";

/** Dependencies of `watchProcess`. */
export interface ProcessDeps {
  readonly log: Log;
  /** Starts a graceful stop. Called at the first SIGTERM or SIGINT. */
  readonly onStop: (signal: NodeJS.Signals) => void;
  /**
   * Opens the log file again at SIGHUP. Null if the log is on a standard stream: SIGHUP then ends
   * the process if it runs on a terminal, and has no effect elsewhere.
   */
  readonly reopenLog?: (() => void) | null;
  /** Exits immediately with this status. Called at the second signal and at an uncaught error. */
  readonly exit: (status: number) => void;
}

/** Exit status after a bug: EX_SOFTWARE of sysexits(3). */
const BUG_EXIT_STATUS = 70;

/**
 * Watches the signals and the uncaught errors of the process. An uncaught error ends the process:
 * its state may be wrong. Its peers repair the data that it held.
 */
export function watchProcess({ log, onStop, reopenLog = null, exit }: ProcessDeps): Disposable {
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping) {
      log.warn("Exiting without a graceful stop after a second signal", { signal });
      exit(statusOfSignal(signal));
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
  const onHangup = (): void => hangUp(log, reopenLog);
  const catchesHangup = reopenLog !== null || process.stdout.isTTY !== true;
  if (catchesHangup) process.on("SIGHUP", onHangup);
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  process.on("uncaughtException", onBug).on("unhandledRejection", onBug);
  return {
    [Symbol.dispose]: () => {
      process.off("SIGHUP", onHangup);
      process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
      process.off("uncaughtException", onBug).off("unhandledRejection", onBug);
    },
  };
}

/** Returns the exit status of a command that a signal has ended. */
export function statusOfSignal(signal: NodeJS.Signals): number {
  return signal === "SIGINT" ? 130 : 143;
}

/** Opens the log again at SIGHUP. */
function hangUp(log: Log, reopenLog: (() => void) | null): void {
  if (reopenLog === null) {
    log.info("SIGHUP has no effect: the log is on a standard stream");
    return;
  }
  try {
    reopenLog();
    log.info("Reopened the log file", { signal: "SIGHUP" });
  } catch (error) {
    log.error("Cannot reopen the log file: the log continues in the old file", { error });
  }
}
