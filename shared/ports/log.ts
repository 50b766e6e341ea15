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

/** Maximum number of items of a list, such as chunk ids, in one log line. The line has their count, too. */
export const LOGGED_ITEMS_MAX = 10;

/** The variable values of a log line. */
export type LogFields = Readonly<Record<string, unknown>>;
