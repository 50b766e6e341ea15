/** Something that must hold whatever happens does not hold. */
export class Violation extends Error {
  override readonly name = "Violation";
  /** What the event log is searched for; empty: everything counts. */
  readonly concerns: readonly string[];

  constructor(message: string, concerns: readonly string[] = [], options: ErrorOptions = {}) {
    super(message, options);
    this.concerns = concerns;
  }
}
