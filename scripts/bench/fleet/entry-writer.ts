import type { Command, NamespaceOperation } from "../../../master/namespace/command.ts";
import { encodeCommand } from "../../../master/namespace/command-encoding.ts";
import type { Namespace } from "../../../master/namespace/namespace.ts";
import type { LogIndex, SessionId, Term } from "../../../shared/base/ids.ts";

/** Changes in memory at which they are written to the store. */
const UNFLUSHED_BYTES = 64 * 1024 * 1024;
const TERM = 1 as Term;

/** Applies entries to a state without a log, one after the other. */
export class EntryWriter {
  readonly namespace: Namespace;
  #sessionId = 0 as SessionId;
  #sequence = 0;

  constructor(namespace: Namespace) {
    this.namespace = namespace;
  }

  /** Opens the session of `transact`. */
  openSession(): void {
    this.apply({ kind: "open-session", nowMs: Date.now(), clientName: "prepared" });
    this.#sessionId = this.namespace.appliedIndex as number as SessionId;
  }

  transact(operation: NamespaceOperation): void {
    this.#sequence += 1;
    this.apply({
      kind: "transact",
      nowMs: Date.now(),
      attempt: {
        sessionId: this.#sessionId,
        sequence: this.#sequence,
        firstUnacknowledged: this.#sequence,
      },
      preconditions: [],
      operations: [operation],
    });
  }

  apply(command: Command, membership: Uint8Array | null = null): void {
    const index = (this.namespace.appliedIndex + 1) as LogIndex;
    const data = encodeCommand(command);
    const outcome = this.namespace.apply({ index, term: TERM, data, membership });
    if (outcome?.ok !== true) throw new Error(`Entry refused: ${JSON.stringify(outcome)}`);
  }

  /** Writes the changes to the store if they take much memory. */
  async flushMany(): Promise<void> {
    if (this.namespace.unflushedBytes > UNFLUSHED_BYTES) await this.namespace.flush();
  }
}
