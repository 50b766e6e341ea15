import type { AppliedEntry, StateMachine, StateSnapshot } from "../../../master/state-machine.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { LogIndex, Term } from "../../../shared/base/ids.ts";
import type { OrderedStore, StoreChange } from "../../../shared/ports/ordered-store.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const META = encoder.encode("meta");

export const bytesOfText = (text: string): Uint8Array => encoder.encode(text);

/**
 * A state machine whose state is its history: entry i is stored under the key "entry <i>", so a gap, a
 * repetition or a wrong order is visible. Has an overlay that is flushed, as the interface requires.
 */
export class ToyMachine implements StateMachine {
  readonly #store: OrderedStore;
  readonly #overlay = new Map<string, string>();
  #appliedIndex: number;
  #appliedTerm: number;
  #membership: Uint8Array;
  #durable: { readonly index: LogIndex; readonly term: Term };
  unflushedBytes = 0;
  flushCount = 0;
  entryUnits = 1;

  constructor(store: OrderedStore) {
    this.#store = store;
    const meta = store.get(META);
    const found = meta === undefined ? null : JSON.parse(decoder.decode(meta));
    if (found === "damaged") {
      throw new AshlarError("STORE_CORRUPT", "Cannot open the toy: its meta is damaged");
    }
    this.#appliedIndex = found?.index ?? 0;
    this.#appliedTerm = found?.term ?? 0;
    this.#membership = Uint8Array.from(found?.membership ?? []);
    this.#durable = this.#position();
  }

  get appliedIndex(): LogIndex {
    return this.#appliedIndex as LogIndex;
  }

  get durable(): StateMachine["durable"] {
    return { ...this.#durable, stateHash: null };
  }

  apply(entry: AppliedEntry): unknown {
    this.#appliedIndex = entry.index;
    this.#appliedTerm = entry.term;
    if (entry.membership !== null) this.#membership = entry.membership;
    const text = decoder.decode(entry.data);
    this.#overlay.set(entryKey(entry.index), text);
    this.unflushedBytes += text.length + 20;
    return `did ${text}`;
  }

  async flush(): Promise<void> {
    const written = [...this.#overlay];
    const position = this.#position();
    const bytes = this.unflushedBytes;
    const meta = { ...position, membership: [...this.#membership] };
    const changes: StoreChange[] = written.map(([key, text]) => ({
      key: encoder.encode(key),
      value: encoder.encode(text),
    }));
    await this.#store.commit([...changes, { key: META, value: bytesOfText(JSON.stringify(meta)) }]);
    this.flushCount += 1;
    this.#durable = position;
    this.unflushedBytes -= bytes;
    for (const [key] of written) this.#overlay.delete(key);
  }

  openSnapshot(): StateSnapshot {
    const snapshot = this.#store.snapshot();
    const meta = snapshot.get(META);
    const found = meta === undefined ? null : JSON.parse(decoder.decode(meta));
    return {
      index: (found?.index ?? 0) as LogIndex,
      term: (found?.term ?? 0) as Term,
      membership: Uint8Array.from(found?.membership ?? []),
      stateHash: null,
      reader: snapshot,
      release: () => snapshot.release(),
    };
  }

  /** Returns the texts of the applied commands by index. "" for an entry without a command. */
  history(): string[] {
    const texts: string[] = [];
    for (let index = 1; index <= this.#appliedIndex; index += 1) {
      const key = entryKey(index);
      const stored = this.#store.get(encoder.encode(key));
      const text = this.#overlay.get(key) ?? (stored && decoder.decode(stored));
      if (text === undefined) throw new Error(`entry ${index} was never applied`);
      texts.push(text);
    }
    return texts;
  }

  #position(): { readonly index: LogIndex; readonly term: Term } {
    return { index: this.#appliedIndex as LogIndex, term: this.#appliedTerm as Term };
  }
}

/** A row that makes opening the machine fail with STORE_CORRUPT. */
export const DAMAGED_META: StoreChange = { key: META, value: bytesOfText('"damaged"') };

function entryKey(index: number): string {
  return `entry ${String(index).padStart(12, "0")}`;
}
