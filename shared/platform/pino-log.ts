import {
  type DestinationStream,
  destination,
  type Logger,
  pino,
  stdSerializers,
  stdTimeFunctions,
} from "pino";
import { AshlarError } from "../base/errors.ts";
import type { Log, LogFields } from "../ports/log.ts";
import { LogFile } from "./log-file.ts";

/** The lowest level that is logged. */
export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** Options of `createLog`. */
export interface LogOptions {
  /**
   * "stdout", "stderr", or the path of a file to append to, which is created if it does not exist.
   */
  readonly to: string;
  readonly level: LogLevel;
  /** Fields of every line, such as the role. */
  readonly fields?: LogFields;
}

/**
 * Returns a log of one JSON object per line: `time` (RFC 3339), `level`, `message` and the fields.
 * An Error among the fields is printed with its stack, code and chain of causes.
 *
 * A line is written before the call returns, so that a crash loses no line.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if the file cannot be opened
 */
export function createLog(options: LogOptions): Log {
  return openLog(options).log;
}

/** A log, and the function that opens its file again. */
export interface OpenedLog {
  readonly log: Log;
  /**
   * Opens the file again, for log rotation: see `LogFile.reopen`. Null for a log on a standard
   * stream.
   */
  readonly reopen: (() => void) | null;
}

/** As `createLog`, for a process that reopens its log. */
export function openLog(options: LogOptions): OpenedLog {
  const { to } = options;
  if (to === "stdout" || to === "stderr") {
    const stream = destination({ dest: to === "stdout" ? 1 : 2, sync: true });
    return { log: new PinoLog(loggerTo(stream, options)), reopen: null };
  }
  const file = openFile(to);
  return { log: new PinoLog(loggerTo(file, options)), reopen: () => file.reopen() };
}

/** Returns a log as `createLog` to a stream, for a process that shows its own log. */
export function createLogTo(stream: DestinationStream, options: Omit<LogOptions, "to">): Log {
  return new PinoLog(loggerTo(stream, options));
}

function openFile(to: string): LogFile {
  try {
    return new LogFile(to);
  } catch (cause) {
    throw new AshlarError("INVALID_ARGUMENT", `Cannot write the log to ${to}: ${String(cause)}`, {
      cause,
    });
  }
}

function loggerTo(stream: DestinationStream, options: Omit<LogOptions, "to">): Logger {
  const settings = {
    base: options.fields ?? {},
    level: options.level,
    messageKey: "message",
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { error: stdSerializers.errWithCause },
  };
  return pino(settings, stream);
}

class PinoLog implements Log {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  debug(message: string, fields: LogFields = {}): void {
    this.#logger.debug(fields, message);
  }

  info(message: string, fields: LogFields = {}): void {
    this.#logger.info(fields, message);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.#logger.warn(fields, message);
  }

  error(message: string, fields: LogFields = {}): void {
    this.#logger.error(fields, message);
  }

  child(fields: LogFields): Log {
    return new PinoLog(this.#logger.child(fields));
  }
}
