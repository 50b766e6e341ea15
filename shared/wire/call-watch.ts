/** Observes the calls of a `LeaderChannel`, such as to show a user what a command waits for. */
export interface CallWatch {
  /**
   * A call begins.
   *
   * @param method name of the method, such as "namespace.stat"
   * @returns a function to call once when the call ends. `isAnswered`: a master has answered the
   *   call, with a result or with a refusal.
   */
  begin(method: string): (isAnswered: boolean) => void;
  /** An attempt has failed and will be repeated. */
  retried(): void;
}
