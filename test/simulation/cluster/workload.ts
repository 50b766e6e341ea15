import type { FileSystem } from "../../../client/file-system.ts";
import { targetOf } from "../../../client/names/target.ts";
import { present } from "../../../shared/base/assert.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { Operation as NamespaceOperation } from "../../../shared/protocol/namespace-api.ts";
import type { NameInput, NameOutput } from "../linearizability/directory-model.ts";
import type { Operation } from "../linearizability/history.ts";
import { contentOf, tagOf } from "./contents.ts";
import { CALL_TIMEOUT_MS } from "./simulated-client.ts";
import type { Life } from "./simulated-process.ts";
import { ECHO_MS, type World } from "./simulation-environment.ts";
import type { Dice } from "./simulation-random.ts";
import { Violation } from "./violation.ts";

export type WorkloadName = "mixed" | "names" | "files";

export type NameOperation = Operation<NameInput, NameOutput>;

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

const DIRECTORIES = ["/d0", "/d1", "/d2"];
const NAMES = ["a", "b", "c", "d", "e"];
/** Users of one program at a time. */
const WORKERS = 2;
const PAUSE_MS = { hot: { min: 20, max: 1_500 }, quiet: { min: 2_000, max: 60_000 } };
const CHUNK_BYTES = 1024 * 1024;

const WEIGHTS: Readonly<Record<WorkloadName, Readonly<Record<NameInput["kind"], number>>>> = {
  mixed: { put: 5, read: 6, create: 1.5, remove: 1.5, rename: 1.5, transact: 1.5 },
  names: { put: 1, read: 3, create: 3, remove: 2, rename: 3, transact: 3 },
  files: { put: 8, read: 8, create: 0.2, remove: 1, rename: 0.5, transact: 0.2 },
};

/** What may be the answer to a call although all is well: what the faults of the world lead to. */
const WORLDLY = new Set([
  "UNAVAILABLE",
  "CONNECTION_LOST",
  "DEADLINE_EXCEEDED",
  "COMMIT_UNKNOWN",
  "SESSION_EXPIRED",
  "NO_LEADER",
  "NOT_LEADER",
  // The last that was asked, when those that are left have no leader.
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

/** What clients do, and the record of it. */
export class Workload {
  readonly history: NameOperation[] = [];
  readonly #world: World;
  readonly #dice: Dice;
  readonly #name: WorkloadName;
  readonly #underWay = new Set<{ readonly life: Life | null; readonly text: string }>();
  #count = 0;
  isOver = false;
  answeredCount = 0;
  unknownCount = 0;
  /** Answers that say nothing: see state-corruption.ts. */
  doubtedCount = 0;

  constructor(world: World, name: WorkloadName) {
    this.#world = world;
    this.#name = name;
    this.#dice = world.dice("workload");
  }

  get directories(): readonly string[] {
    return DIRECTORIES;
  }

  /** The highest index of a change that anybody was told of. */
  get lastVersion(): number {
    let last = 0;
    for (const { output } of this.history) {
      if (output?.kind === "done") last = Math.max(last, output.version);
    }
    return last;
  }

  /** Calls of lives that go on. */
  underWay(isAlive: (life: Life) => boolean): string[] {
    return [...this.#underWay]
      .filter(({ life }) => life !== null && isAlive(life))
      .map(({ text }) => text);
  }

  /** One life of a client: it works until it dies, or the workload is over. */
  begin(life: Life, host: string, fs: FileSystem): void {
    for (let worker = 1; worker <= WORKERS; worker += 1) {
      const work = this.#work(life, `${host}.${life.number}.${worker}`, fs);
      work.catch((error: unknown) => this.#onBug(host, error));
    }
  }

  async #work(life: Life, process: string, fs: FileSystem): Promise<void> {
    for (let call = 1; ; call += 1) {
      await this.#world.rhythm.pause(life.clock, this.#dice, PAUSE_MS);
      if (this.isOver) return;
      const directory = this.#dice.pick(DIRECTORIES);
      // After a call that was not answered a worker is another one.
      await this.#call(life, fs, { process: `${process}.${call}`, directory, input: this.#draw() });
    }
  }

  /** Reads everything once, for the record. */
  async readAll(fs: FileSystem): Promise<void> {
    for (const directory of DIRECTORIES) {
      for (const name of NAMES) {
        const process = `last ${directory}/${name}`;
        const input = { kind: "read", name } as const;
        const last = { process, directory, input };
        const doubtedBefore = this.doubtedCount;
        let record = await this.#call(null, fs, last);
        if (this.doubtedCount > doubtedBefore) {
          // A master whose state had rotten led until just now: what comes later counts.
          await this.#world.clock.sleep(ECHO_MS);
          record = await this.#call(null, fs, last);
        }
        if (record !== null && record.output !== null) continue;
        throw new Violation(`${directory}/${name} cannot be read after all faults`, [name]);
      }
    }
  }

  #draw(): NameInput {
    const dice = this.#dice;
    const name = dice.pick(NAMES);
    const kind = dice.weighted(WEIGHTS[this.#name]);
    switch (kind) {
      case "put":
        this.#count += 1;
        return { kind, name, value: `v${this.#count}` };
      case "rename":
        return { kind, name, to: dice.pick(NAMES.filter((each) => each !== name)) };
      case "transact":
        return { kind, steps: this.#drawSteps() };
      default:
        return { kind, name };
    }
  }

  #drawSteps(): Extract<NameInput, { kind: "transact" }>["steps"] {
    const dice = this.#dice;
    return Array.from({ length: 2 + dice.integer(2) }, () => {
      const name = dice.pick(NAMES);
      const kind = dice.pick(["create", "remove", "rename"] as const);
      if (kind !== "rename") return { kind, name };
      return { kind, name, to: dice.pick(NAMES.filter((each) => each !== name)) };
    });
  }

  async #call(
    life: Life | null,
    fs: FileSystem,
    call: { readonly process: string; readonly directory: string; readonly input: NameInput },
  ): Promise<NameOperation | null> {
    const { process, directory, input } = call;
    const { clock, trace } = this.#world;
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
    const pending = { life, text };
    this.#underWay.add(pending);
    const how: Call = {
      directory,
      sizeBytes: this.#sizeOf(),
      // The last reads have all the time they need.
      timeoutMs: life === null ? CALL_TIMEOUT_MS : this.#dice.magnitude(300, CALL_TIMEOUT_MS),
    };
    const isKept = await this.#record(record, () => perform(fs, input, how));
    this.#underWay.delete(pending);
    if (!isKept) this.history.splice(this.history.lastIndexOf(record), 1);
    return isKept ? record : null;
  }

  /** @returns whether it may have had its effect, or has seen one */
  async #record(record: Mutable<NameOperation>, act: () => Promise<NameOutput>): Promise<boolean> {
    const { clock, trace } = this.#world;
    const host = record.process.split(".")[0] ?? record.process;
    try {
      const output = await act();
      if (this.#isDoubted(record)) return record.input.kind !== "read";
      record.output = output;
      record.returnTime = clock.monotonicMs();
      this.answeredCount += 1;
      trace.note(host, `answer ${record.process} ${JSON.stringify(record.output)}`);
      return true;
    } catch (error) {
      const isTelling = isAshlarError(error) || error instanceof Violation;
      if (isTelling && this.#isDoubted(record)) return record.input.kind !== "read";
      if (!isAshlarError(error) || !WORLDLY.has(error.code)) throw error;
      trace.note(host, `failure ${record.process} ${error.code} ${error.message}`);
      // "safe" says that it had no effect.
      if (record.input.kind === "read" || error.retry === "safe") return false;
      this.unknownCount += 1;
      return true;
    }
  }

  /** Whether a leader that knows it wrong may have had a part in the answer. */
  #isDoubted({ process, callTime }: NameOperation): boolean {
    if (!this.#world.wasMisled(callTime)) return false;
    this.doubtedCount += 1;
    this.#world.trace.note(process.split(".")[0] ?? process, `a doubtful answer to ${process}`);
    return true;
  }

  #sizeOf(): number {
    const dice = this.#dice;
    const share = dice.fraction();
    if (share < 0.35) return dice.integer(480);
    if (share < 0.9) return Math.floor(dice.magnitude(513, 16 * 1024));
    if (share < 0.99) return Math.floor(dice.magnitude(16 * 1024, 200 * 1024));
    return Math.floor(dice.between(0.9, 1.3) * CHUNK_BYTES);
  }

  #onBug(host: string, error: unknown): void {
    if (error instanceof Violation) this.#world.fail(error);
    const text = error instanceof Error ? error.message : String(error);
    this.#world.fail(new Violation(`${host} was told: ${text}`, [host], { cause: error }));
  }
}

/** How a call is made. */
interface Call {
  readonly directory: string;
  /** Of what is put. */
  readonly sizeBytes: number;
  readonly timeoutMs: number;
}

async function perform(fs: FileSystem, input: NameInput, call: Call): Promise<NameOutput> {
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
    throw new Violation(`${path} at version ${version} has bytes that nobody wrote`, [path]);
  }
  return { kind: "found", value, version };
}

async function change(
  fs: FileSystem,
  input: Exclude<NameInput, { kind: "read" }>,
  { directory, sizeBytes, timeoutMs }: Call,
): Promise<number> {
  const call = { timeoutMs };
  switch (input.kind) {
    case "put": {
      const bytes = contentOf(input.value, sizeBytes);
      const options = { ...call, chunkSizeBytes: CHUNK_BYTES };
      return (await fs.writeFile(`${directory}/${input.name}`, bytes, options)).index;
    }
    case "transact": {
      const steps = input.steps.map((step) => operationOf(directory, step));
      return (await fs.transact(steps, [], call)).index;
    }
    default:
      return (await fs.transact([operationOf(directory, input)], [], call)).index;
  }
}

type Step = Extract<NameInput, { kind: "transact" }>["steps"][number];

function operationOf(directory: string, step: Step): NamespaceOperation {
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
      return present<NamespaceOperation>(null, `steps do not ${step.kind}`);
  }
}
