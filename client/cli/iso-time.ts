/** The forms of `parseIsoTimeMs`: date(1) writes them with --iso-8601 and --rfc-3339. */
const ISO_TIME =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?(?:Z|[+-]\d\d:?\d\d))?)?$/;

/**
 * Parses a time of ISO 8601: "2026-11-21", "2026-11-21T09:00", "2026-11-21 09:00:00.5+01:00". One
 * without a zone is in local time, a date alone in UTC (ECMA-262).
 *
 * @returns ms since the Unix epoch; null for another text, and for a day that does not exist, which
 *   Date.parse takes for a later one
 */
export function parseIsoTimeMs(text: string): number | null {
  const [, year, month, day] = ISO_TIME.exec(text) ?? [];
  if (day === undefined) return null;
  const midnight = new Date(`${year}-${month}-${day}`);
  const timeMs = Date.parse(text);
  return midnight.getUTCDate() === Number(day) && Number.isFinite(timeMs) ? timeMs : null;
}
