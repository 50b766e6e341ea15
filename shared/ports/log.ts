/** A structured log. A message is a constant sentence; variable values are in `fields`. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  /** `fields.error` may be an Error: its stack and causes are printed. */
  error(message: string, fields?: LogFields): void;
  /** Returns a log that adds `fields` to every line. */
  child(fields: LogFields): Log;
}

/** The variable values of a log line. */
export type LogFields = Readonly<Record<string, unknown>>;
