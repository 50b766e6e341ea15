import type { FileSystem } from "../../../client/file-system.ts";
import { targetOf } from "../../../client/names/target.ts";
import { present } from "../../../shared/base/assert.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { Operation as NamespaceOperation } from "../../../shared/protocol/namespace-api.ts";
import type { NameInput, NameOutput } from "../linearizability/directory-operations.ts";
import type { Operation } from "../linearizability/history.ts";
import { contentOf, tagOf } from "./contents.ts";
import { CALL_TIMEOUT_MS } from "./simulated-client.ts";
import type { ProcessRun } from "./simulated-process.ts";
import { IN_FLIGHT_MS_MAX, type SimulationEnvironment } from "./simulation-environment.ts";
import type { SimulationOptions, WorkloadName } from "./simulation-options.ts";
import type { SimulationRandom } from "./simulation-random.ts";
import { Violation } from "./violation.ts";

/** One operation of the history. Its key is the directory. */
export type NameOperation = Operation<NameInput, NameOutput>;

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

const DIRECTORIES = ["/d0", "/d1", "/d2"];
const NAMES = ["a", "b", "c", "d", "e"];
/** Number of concurrent workers of one client. */
const WORKERS = 2;
const PAUSE_MS = { busy: { min: 20, max: 1_500 }, quiet: { min: 2_000, max: 60_000 } };
const CHUNK_BYTES = 1024 * 1024;
/**
 * Duration of the source of a long write: longer than a third of the lifetime of an intent, often
 * longer than the whole lifetime. So the client stages its chunks.
 */
const LONG_WRITE_MS = { min: 8_000, max: 35_000 };
const LONG_WRITE_TIMEOUT_MS = 45_000;
const LONG_PAUSE_MS = { busy: { min: 1_000, max: 8_000 }, quiet: { min: 10_000, max: 60_000 } };
/** Shorter runs have no time for long writes. */
const LONG_WRITES_SECONDS_MIN = 30;
/** Parts in which the source of a long write yields its bytes. */
const PARTS = 16;

const WEIGHTS: Readonly<Record<WorkloadName, Readonly<Record<NameInput["kind"], number>>>> = {
  mixed: { put: 5, read: 6, create: 1.5, remove: 1.5, rename: 1.5, transact: 1.5 },
  names: { put: 1, read: 3, create: 3, remove: 2, rename: 3, transact: 3 },
  files: { put: 8, read: 8, create: 0.2, remove: 1, rename: 0.5, transact: 0.2 },
};

/** Error codes that injected faults cause. A call that fails with any other code is a violation. */
const FAULT_CODES = new Set([
  "UNAVAILABLE",
  "CONNECTION_LOST",
  "DEADLINE_EXCEEDED",
  "COMMIT_UNKNOWN",
  "SESSION_EXPIRED",
  "NO_LEADER",
  "NOT_LEADER",
  // The last master that the client called was removed, and the other masters have no leader.
  "MASTER_REMOVED",
  "OVERLOADED",
  "NO_SPACE",
  "DISK_FAILED",
  "TOO_FEW_CHUNKSERVERS",
  "WRITE_CHAIN_FAILED",
  "NO_GOOD_REPLICA",
  "INTENT_EXPIRED",
]);

type Refusal = Extract<NameOutput, { kind: "refused" }>["code"];

/** The operations of the clients, and their history. */
export class Workload {
  /** All operations that had an effect, may have had one, or observed a state. */
  readonly history: NameOperation[] = [];
  readonly #environment: SimulationEnvironment;
  readonly #random: SimulationRandom;
  readonly #name: WorkloadName;
  readonly #hasLongWrites: boolean;
  /** A source of its own, so that long writes do not change the other operations of a seed. */
  readonly #longWriteRandom: SimulationRandom;
  readonly #pendingCalls = new Set<{ readonly run: ProcessRun | null; readonly text: string }>();
  #valueCount = 0;
  /** Set at the end of the fault phase. The workers then end. */
  hasEnded = false;
  answeredCount = 0;
  /** Number of calls whose effect is unknown, because they were not answered. */
  unknownCount = 0;
  /** Number of discarded answers: a corrupt state may have changed them (state-corruption.ts). */
  discardedCount = 0;

  constructor(
    environment: SimulationEnvironment,
    options: Pick<SimulationOptions, "workload" | "seconds">,
  ) {
    this.#environment = environment;
    this.#name = options.workload;
    this.#hasLongWrites = options.seconds >= LONG_WRITES_SECONDS_MIN;
    this.#longWriteRandom = environment.randomFor("long writes");
    this.#random = environment.randomFor("workload");
  }

  get directories(): readonly string[] {
    return DIRECTORIES;
  }

  /** The highest log index of an acknowledged change. */
  get lastVersion(): number {
    let last = 0;
    for (const { output } of this.history) {
      if (output?.kind === "done") last = Math.max(last, output.version);
    }
    return last;
  }

  /** Returns descriptions of the pending calls of the process runs that `isAlive` accepts. */
  pendingCalls(isAlive: (run: ProcessRun) => boolean): string[] {
    return [...this.#pendingCalls]
      .filter(({ run }) => run !== null && isAlive(run))
      .map(({ text }) => text);
  }

  /**
   * Starts the workers of one run of a client. They end with the run, or after `hasEnded` is set.
   */
  start(run: ProcessRun, host: string, fs: FileSystem): void {
    for (let worker = 1; worker <= WORKERS; worker += 1) {
      const work = this.#runWorker(run, `${host}.${run.number}.${worker}`, fs);
      work.catch((error: unknown) => this.#onError(host, error));
    }
    if (!this.#hasLongWrites) return;
    const work = this.#runLongWriter(run, `${host}.${run.number}.long`, fs);
    work.catch((error: unknown) => this.#onError(host, error));
  }

  /** Makes long writes only, one after the other. */
  async #runLongWriter(run: ProcessRun, process: string, fs: FileSystem): Promise<void> {
    const random = this.#longWriteRandom;
    for (let call = 1; ; call += 1) {
      await this.#environment.loadPhases.pause(run.clock, random, LONG_PAUSE_MS);
      if (this.hasEnded) return;
      const pauseMs = random.uniform(LONG_WRITE_MS.min, LONG_WRITE_MS.max) / PARTS;
      const value = `${process}.${call}`;
      await this.#call(run, fs, {
        process: value,
        directory: random.pick(DIRECTORIES),
        input: { kind: "put", name: random.pick(NAMES), value },
        options: {
          sizeBytes: Math.floor(random.uniform(1.1, 2.3) * CHUNK_BYTES),
          timeoutMs: LONG_WRITE_TIMEOUT_MS,
          pause: () => run.clock.sleep(pauseMs),
        },
      });
    }
  }

  async #runWorker(run: ProcessRun, process: string, fs: FileSystem): Promise<void> {
    for (let call = 1; ; call += 1) {
      await this.#environment.loadPhases.pause(run.clock, this.#random, PAUSE_MS);
      if (this.hasEnded) return;
      const directory = this.#random.pick(DIRECTORIES);
      // An unanswered call can take effect later. The history needs a new process for each call.
      await this.#call(run, fs, {
        process: `${process}.${call}`,
        directory,
        input: this.#drawInput(),
      });
    }
  }

  /**
   * Reads every name once at the end, so that the history contains the final state.
   *
   * @throws {Violation} if a name cannot be read
   */
  async readAll(fs: FileSystem): Promise<void> {
    for (const directory of DIRECTORIES) {
      for (const name of NAMES) {
        const process = `last ${directory}/${name}`;
        const input = { kind: "read", name } as const;
        const last = { process, directory, input };
        const discardedBefore = this.discardedCount;
        let record = await this.#call(null, fs, last);
        if (this.discardedCount > discardedBefore) {
          // A master with a corrupt state was the leader. Answers can be trusted after this time.
          await this.#environment.clock.sleep(IN_FLIGHT_MS_MAX);
          record = await this.#call(null, fs, last);
        }
        if (record !== null && record.output !== null) continue;
        throw new Violation(`${directory}/${name} cannot be read after all faults`, [name]);
      }
    }
  }

  #drawInput(): NameInput {
    const random = this.#random;
    const name = random.pick(NAMES);
    const kind = random.pickWeighted(WEIGHTS[this.#name]);
    switch (kind) {
      case "put":
        this.#valueCount += 1;
        return { kind, name, value: `v${this.#valueCount}` };
      case "rename":
        return { kind, name, to: random.pick(NAMES.filter((each) => each !== name)) };
      case "transact":
        return { kind, steps: this.#drawSteps() };
      default:
        return { kind, name };
    }
  }

  #drawSteps(): Extract<NameInput, { kind: "transact" }>["steps"] {
    const random = this.#random;
    return Array.from({ length: 2 + random.integer(2) }, () => {
      const name = random.pick(NAMES);
      const kind = random.pick(["create", "remove", "rename"] as const);
      if (kind !== "rename") return { kind, name };
      return { kind, name, to: random.pick(NAMES.filter((each) => each !== name)) };
    });
  }

  /**
   * Makes one call and adds it to the history.
   *
   * @param run null for the last reads, which do not belong to a client
   * @returns null if the call was removed from the history
   */
  async #call(
    run: ProcessRun | null,
    fs: FileSystem,
    call: {
      readonly process: string;
      readonly directory: string;
      readonly input: NameInput;
      /** Replace the drawn options. */
      readonly options?: Partial<CallOptions>;
    },
  ): Promise<NameOperation | null> {
    const { process, directory, input } = call;
    const { clock, trace } = this.#environment;
    const record: Mutable<NameOperation> = {
      process,
      key: directory,
      input,
      output: null,
      callTime: clock.monotonicMs(),
      returnTime: Number.POSITIVE_INFINITY,
    };
    this.history.push(record);
    const text = `${process} ${directory} ${JSON.stringify(input)}`;
    trace.note(process.split(".")[0] ?? process, `call ${text}`);
    const pending = { run, text };
    this.#pendingCalls.add(pending);
    const options: CallOptions = {
      directory,
      sizeBytes: this.#drawSize(),
      // The last reads always have the full timeout.
      timeoutMs: run === null ? CALL_TIMEOUT_MS : this.#random.logUniform(300, CALL_TIMEOUT_MS),
      ...call.options,
    };
    const isKept = await this.#recordOutcome(record, () => perform(fs, input, options));
    this.#pendingCalls.delete(pending);
    if (!isKept) this.history.splice(this.history.lastIndexOf(record), 1);
    return isKept ? record : null;
  }

  /**
   * Runs `act` and records its output. An error of `FAULT_CODES` leaves the output unknown.
   *
   * @returns whether the operation belongs in the history: it may have had an effect, or has
   *   observed a state
   */
  async #recordOutcome(
    record: Mutable<NameOperation>,
    act: () => Promise<NameOutput>,
  ): Promise<boolean> {
    const { clock, trace } = this.#environment;
    const host = record.process.split(".")[0] ?? record.process;
    try {
      const output = await act();
      if (this.#discardIfUntrusted(record)) return record.input.kind !== "read";
      record.output = output;
      record.returnTime = clock.monotonicMs();
      this.answeredCount += 1;
      trace.note(host, `answer ${record.process} ${JSON.stringify(record.output)}`);
      return true;
    } catch (error) {
      const isAnswer = isAshlarError(error) || error instanceof Violation;
      if (isAnswer && this.#discardIfUntrusted(record)) return record.input.kind !== "read";
      if (!isAshlarError(error) || !FAULT_CODES.has(error.code)) throw error;
      trace.note(host, `failure ${record.process} ${error.code} ${error.message}`);
      // The retry class "safe" means that the call had no effect.
      if (record.input.kind === "read" || error.retry === "safe") return false;
      this.unknownCount += 1;
      return true;
    }
  }

  /**
   * Counts the answer as discarded if a master with a corrupt state may have changed it.
   *
   * @returns whether the answer is discarded
   */
  #discardIfUntrusted({ process, callTime }: NameOperation): boolean {
    if (!this.#environment.hadMisleadingMaster(callTime)) return false;
    this.discardedCount += 1;
    this.#environment.trace.note(
      process.split(".")[0] ?? process,
      `answer to ${process} is discarded`,
    );
    return true;
  }

  #drawSize(): number {
    const random = this.#random;
    const share = random.fraction();
    if (share < 0.35) return random.integer(480);
    if (share < 0.9) return Math.floor(random.logUniform(513, 16 * 1024));
    if (share < 0.99) return Math.floor(random.logUniform(16 * 1024, 200 * 1024));
    return Math.floor(random.uniform(0.9, 1.3) * CHUNK_BYTES);
  }

  #onError(host: string, error: unknown): void {
    if (error instanceof Violation) this.#environment.reportViolation(error);
    const text = error instanceof Error ? error.message : String(error);
    this.#environment.reportViolation(
      new Violation(`${host} received an unexpected error: ${text}`, [host], { cause: error }),
    );
  }
}

/** Directory, content size and timeout of one call. */
interface CallOptions {
  readonly directory: string;
  /** Size of the content that a `put` writes. */
  readonly sizeBytes: number;
  readonly timeoutMs: number;
  /** Waits before each part of the content. Undefined: the content is available at once. */
  readonly pause?: () => Promise<void>;
}

/** Runs one operation. A refusal by the namespace is an output; other errors are thrown. */
async function perform(fs: FileSystem, input: NameInput, call: CallOptions): Promise<NameOutput> {
  try {
    return input.kind === "read"
      ? await read(fs, `${call.directory}/${input.name}`, call)
      : { kind: "done", version: await change(fs, input, call) };
  } catch (error) {
    if (!isAshlarError(error)) throw error;
    if (error.code === "NOT_FOUND" && input.kind === "read") return { kind: "nothing" };
    if (isRefusal(error.code)) return { kind: "refused", code: error.code };
    throw error;
  }
}

function isRefusal(code: string): code is Refusal {
  return code === "ALREADY_EXISTS" || code === "NOT_FOUND";
}

/**
 * Reads a file and identifies the write that wrote its content.
 *
 * @throws {Violation} if the content is not the complete content of one write
 */
async function read(
  fs: FileSystem,
  path: string,
  { timeoutMs }: { readonly timeoutMs: number },
): Promise<NameOutput> {
  await using file = await fs.open(path, "read", { timeoutMs });
  const { sizeBytes, version } = file.attributes;
  const bytes = await file.read({ position: 0, lengthBytes: sizeBytes }, { timeoutMs });
  if (bytes.length === 0 && sizeBytes === 0) return { kind: "found", value: "", version };
  const value = tagOf(bytes);
  if (value === null || bytes.length !== sizeBytes) {
    throw new Violation(`${path} at version ${version} has the content of no write`, [path]);
  }
  return { kind: "found", value, version };
}

/** Runs a mutation. @returns the log index of the change */
async function change(
  fs: FileSystem,
  input: Exclude<NameInput, { kind: "read" }>,
  { directory, sizeBytes, timeoutMs, pause }: CallOptions,
): Promise<number> {
  const call = { timeoutMs };
  switch (input.kind) {
    case "put": {
      const bytes = contentOf(input.value, sizeBytes);
      const options = { ...call, chunkSizeBytes: CHUNK_BYTES, replace: true };
      const source = pause === undefined ? bytes : slowly(bytes, pause);
      return (await fs.writeFile(`${directory}/${input.name}`, source, options)).index;
    }
    case "transact": {
      const steps = input.steps.map((step) => toOperation(directory, step));
      return (await fs.transact(steps, [], call)).index;
    }
    default:
      return (await fs.transact([toOperation(directory, input)], [], call)).index;
  }
}

/** Yields the first chunk at once, so that it is sealed early, and the rest in parts. */
async function* slowly(bytes: Uint8Array, pause: () => Promise<void>): AsyncGenerator<Uint8Array> {
  yield bytes.subarray(0, CHUNK_BYTES);
  const partBytes = Math.ceil((bytes.length - CHUNK_BYTES) / PARTS);
  for (let offset = CHUNK_BYTES; offset < bytes.length; offset += partBytes) {
    await pause();
    yield bytes.subarray(offset, offset + partBytes);
  }
}

type Step = Extract<NameInput, { kind: "transact" }>["steps"][number];

function toOperation(directory: string, step: Step): NamespaceOperation {
  const target = targetOf(`${directory}/${step.name}`);
  switch (step.kind) {
    case "create":
      return { kind: "create", target, mode: 0o644, uid: 0, gid: 0 };
    case "remove":
      return { kind: "unlink", target };
    case "rename":
      return {
        kind: "rename",
        from: target,
        to: targetOf(`${directory}/${step.to}`),
        noReplace: false,
      };
    default:
      return present<NamespaceOperation>(null, `a step cannot be ${step.kind}`);
  }
}
