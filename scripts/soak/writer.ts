import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { FileSystem } from "../../client/file-system.ts";
import { targetOf } from "../../client/names/target.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { Operation } from "../../shared/protocol/namespace-api.ts";
import type { Counter } from "./counter.ts";
import { contentOf } from "./file-content.ts";
import type { Journal } from "./journal.ts";
import { Register, type Value, type Version } from "./register.ts";
import { stampOf } from "./stamp.ts";

const SLOTS = 12;
/** Stamps of a writer start at its number times this. They fit into an owner id (32 bits). */
const STAMPS_PER_WRITER = 50_000_000;
const RESOLVE_TIMEOUT_MS = 120_000;
const PACE_MS = 20;
const OWNER = { mode: 0o644, uid: 0, gid: 0 } as const;

/** Error codes that contradict the state that the only writer of a path expects. */
const CONTRADICTIONS = ["NOT_FOUND", "ALREADY_EXISTS", "PRECONDITION_FAILED"] as const;

/** A mutation and the values that it gives to paths. */
interface Change {
  readonly operation: string;
  readonly effects: readonly (readonly [Register, Value])[];
  readonly run: () => Promise<unknown>;
}

/** Counts of the requests of all writers and readers. */
export interface TrafficCounts {
  acknowledged: number;
  /** Mutations without an answer whose outcome was looked up. */
  unknown: number;
  reads: number;
  failedReads: number;
  readonly failedReadsByCode: Record<string, number>;
}

/** The only client that changes the files of its directory. So it knows the expected content. */
export class Writer {
  readonly directory: string;
  readonly slots: readonly Register[];
  /** Two files that one transaction writes: each listing shows the same version of both. */
  readonly pair: readonly Register[];
  readonly #number: number;
  readonly #fileSystem: FileSystem;
  readonly #journal: Journal;
  readonly #counts: TrafficCounts;
  readonly #counter: Counter;
  #stampCount = 0;

  constructor(deps: {
    readonly number: number;
    readonly fileSystem: FileSystem;
    readonly journal: Journal;
    readonly counts: TrafficCounts;
    readonly counter: Counter;
  }) {
    this.#number = deps.number;
    this.#fileSystem = deps.fileSystem;
    this.#journal = deps.journal;
    this.#counts = deps.counts;
    this.#counter = deps.counter;
    this.directory = `/soak/w${deps.number}`;
    this.slots = Array.from(
      { length: SLOTS },
      (_, slot) => new Register(`${this.directory}/f${slot}`),
    );
    this.pair = ["a", "b"].map((name) => new Register(`${this.directory}/pair-${name}`));
  }

  /** All registers of this writer. */
  get registers(): readonly Register[] {
    return [...this.slots, ...this.pair];
  }

  /** Creates the directory of this writer. */
  async open(): Promise<void> {
    await this.#fileSystem.mkdir(this.directory, { parents: true });
  }

  /** Makes one change. Resolves when it is acknowledged or its outcome was looked up. */
  async step(): Promise<void> {
    await sleep(randomInt(PACE_MS));
    const dice = randomInt(20);
    if (dice === 0) {
      await this.#counter.increment(this.#fileSystem, this.#number);
      return;
    }
    await this.#settle(this.#choose(dice));
  }

  async close(): Promise<void> {
    await this.#fileSystem[Symbol.asyncDispose]();
  }

  #choose(dice: number): Change {
    const slot = this.slots[randomInt(SLOTS)] as Register;
    const other = this.slots[randomInt(SLOTS)] as Register;
    if (dice <= 3) return this.#putPair();
    if (slot.value === null) return dice < 10 ? this.#create(slot) : this.#put(slot);
    if (dice < 7 && other !== slot) return this.#rename(slot, other);
    return dice < 11 ? this.#remove(slot) : this.#put(slot);
  }

  #nextStamp(): number {
    this.#stampCount += 1;
    return this.#number * STAMPS_PER_WRITER + this.#stampCount;
  }

  #create(slot: Register): Change {
    const stamp = this.#nextStamp();
    const run = () => this.#fileSystem.create(slot.path, { uid: stamp });
    return { operation: "create", effects: [[slot, stamp]], run };
  }

  #put(slot: Register): Change {
    const stamp = this.#nextStamp();
    const options = { mtimeMs: stamp, replace: slot.value !== null };
    const run = () => this.#fileSystem.writeFile(slot.path, contentOf(stamp), options);
    return { operation: "put", effects: [[slot, stamp]], run };
  }

  #rename(from: Register, to: Register): Change {
    const effects = [[to, from.value] as const, [from, null] as const];
    const run = () => this.#fileSystem.rename(from.path, to.path, { replace: true });
    return { operation: "rename", effects, run };
  }

  #remove(slot: Register): Change {
    const run = () => this.#fileSystem.unlink(slot.path);
    return { operation: "unlink", effects: [[slot, null]], run };
  }

  #putPair(): Change {
    const stamp = this.#nextStamp();
    const bytes = Buffer.from(`stamp ${stamp}\n`);
    const operations = this.pair.map(
      (register): Operation => ({
        kind: "put",
        target: targetOf(register.path),
        content: { kind: "inline", bytes },
        replace: true,
        mtimeMs: stamp,
        ...OWNER,
      }),
    );
    const effects = this.pair.map((register) => [register, stamp] as const);
    return { operation: "transact", effects, run: () => this.#fileSystem.transact(operations) };
  }

  async #settle(change: Change): Promise<void> {
    const { operation } = change;
    const now = this.#journal.tick();
    const versions = change.effects.map(([register, value]) => register.begin(value, now));
    try {
      await change.run();
    } catch (error) {
      await this.#resolve(change, versions, error);
      return;
    }
    const settled = this.#journal.tick();
    for (const [index, [register]] of change.effects.entries()) {
      register.acknowledge(versions[index] as Version, settled);
    }
    this.#counts.acknowledged += 1;
    const effects = change.effects.map(([register, value]) => [register.path, value]);
    this.#journal.write("acknowledged", { what: operation, effects });
  }

  /**
   * Resolves a change whose outcome is unknown. A later mutation of the same session rules out that
   * the change still happens: its sequence number is then below the oldest one whose outcome the
   * session may ask for. A linearizable read after that shows the final outcome.
   */
  async #resolve(change: Change, versions: readonly Version[], error: unknown): Promise<void> {
    const paths = change.effects.map(([register]) => register.path);
    const code = isAshlarError(error) ? error.code : String(error);
    this.#journal.write("unknown", { what: change.operation, paths, code });
    this.#counts.unknown += 1;
    if (CONTRADICTIONS.some((each) => isAshlarError(error, each))) {
      const known = change.effects.map(([register], index) => [register.path, versions[index]]);
      const state = `${JSON.stringify(known)} (tried ${change.operation})`;
      this.#journal.violation(`${paths.join(" ")}: refused with ${code}: ${error}: ${state}`);
    }
    const endsMs = performance.now() + RESOLVE_TIMEOUT_MS;
    for (;;) {
      try {
        await this.#lookUp(change, versions);
        return;
      } catch (failure) {
        if (performance.now() < endsMs) continue;
        throw new Error(`${paths.join(" ")}: no answer for 2 minutes`, { cause: failure });
      }
    }
  }

  async #lookUp(change: Change, versions: readonly Version[]): Promise<void> {
    await this.#fileSystem.setAttributes(this.directory, { mode: 0o755 });
    const found: Value[] = [];
    for (const [register] of change.effects) {
      found.push(await stampOf(this.#fileSystem, register.path));
    }
    const happened = change.effects.map(([, value], index) => found[index] === value);
    if (happened.some((each) => each !== happened[0])) {
      const paths = change.effects.map(([register]) => register.path).join(" ");
      this.#journal.violation(`${paths}: ${change.operation} happened in part: ${found.join(" ")}`);
    }
    const now = this.#journal.tick();
    for (const [index, [register]] of change.effects.entries()) {
      const version = versions[index] as Version;
      if (happened[index] === true) {
        register.acknowledge(version, now);
        continue;
      }
      const violation = register.refute(version);
      if (violation !== null) this.#journal.violation(violation);
      const wrong = register.observe(found[index] as Value, now, this.#journal.tick());
      if (wrong !== null) this.#journal.violation(wrong);
    }
  }
}
