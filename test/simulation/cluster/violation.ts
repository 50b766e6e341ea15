/** An invariant of the simulation is violated. */
export class Violation extends Error {
  override readonly name = "Violation";
  /**
   * Hosts, paths or indexes that are related to the violation. A report contains the events that
   * mention one of them. Empty: all events are related.
   */
  readonly concerns: readonly string[];

  constructor(message: string, concerns: readonly string[] = [], options: ErrorOptions = {}) {
    super(message, options);
    this.concerns = concerns;
  }
}
