import { SeededRandom } from "../../support/seeded-random.ts";
import type { NameInput, NameOutput } from "./directory-operations.ts";
import type { Operation } from "./history.ts";
import type { RegisterInput, RegisterOutput } from "./register-model.ts";

/** An object that applies one operation at a time and answers correctly. */
interface SequentialObject<Input, Output> {
  draw(random: SeededRandom): { readonly key: string; readonly input: Input };
  perform(key: string, input: Input): Output;
}

/** Options of a random history. */
export interface RandomHistoryOptions {
  readonly seed: number;
  readonly processCount: number;
  readonly operationCount: number;
  /** The share of unanswered operations. Half of them take effect, some of these much later. */
  readonly unknownRate: number;
}

/**
 * Makes a random history of clients of a linearizable object: every operation takes effect at one
 * point in time between its call and its return, so the history is linearizable by construction.
 */
export function randomHistory<Input, Output>(
  object: SequentialObject<Input, Output>,
  options: RandomHistoryOptions,
): Operation<Input, Output>[] {
  const { seed, processCount, operationCount, unknownRate } = options;
  const random = new SeededRandom(seed);
  const processes = Array.from({ length: processCount }, () => ({ freeTime: 0, number: 1 }));
  const drafts = Array.from({ length: operationCount }, () => {
    const processIndex = random.integer(processCount);
    const process = processes[processIndex] as (typeof processes)[number];
    const callTime = process.freeTime + random.integer(20);
    const returnTime = callTime + 1 + random.integer(100);
    const isUnknown = random.fraction() < unknownRate;
    const effectTime = isUnknown
      ? unknownEffectTime(random, callTime)
      : callTime + random.fraction() * (returnTime - callTime);
    const name = `p${processIndex + 1}${process.number === 1 ? "" : `.${process.number}`}`;
    process.freeTime = returnTime + 1;
    if (isUnknown) process.number += 1;
    return { ...object.draw(random), process: name, callTime, returnTime, effectTime, isUnknown };
  });
  const inEffect = drafts.filter(({ effectTime }) => Number.isFinite(effectTime));
  inEffect.sort((left, right) => left.effectTime - right.effectTime);
  const outputs = new Map(inEffect.map((each) => [each, object.perform(each.key, each.input)]));
  return drafts.map((draft) => {
    const { process, key, input, callTime, returnTime, isUnknown } = draft;
    const output = isUnknown ? null : (outputs.get(draft) ?? null);
    return { process, key, input, output, callTime, returnTime };
  });
}

/** Returns a time soon or long after the call, or infinity for an operation without an effect. */
function unknownEffectTime(random: SeededRandom, callTime: number): number {
  if (random.fraction() < 0.5) return Number.POSITIVE_INFINITY;
  return callTime + random.fraction() * (random.fraction() < 0.5 ? 100 : 2_000);
}

/** Registers with random operations. */
export class Registers implements SequentialObject<RegisterInput, RegisterOutput> {
  readonly #values = new Map<string, number>();
  readonly #keyCount: number;
  #writeCount = 0;

  constructor(keyCount: number) {
    this.#keyCount = keyCount;
  }

  draw(random: SeededRandom): { readonly key: string; readonly input: RegisterInput } {
    const key = `r${random.integer(this.#keyCount)}`;
    if (random.fraction() < 0.5) return { key, input: { kind: "read" } };
    this.#writeCount += 1;
    return { key, input: { kind: "write", value: this.#writeCount } };
  }

  perform(key: string, input: RegisterInput): RegisterOutput {
    if (input.kind === "read") return this.#values.get(key) ?? 0;
    this.#values.set(key, input.value);
    return "done";
  }
}

const NAMES = ["a", "b", "c"] as const;

/** Directories with random operations, implemented independently of the namespace and the model. */
export class Directories implements SequentialObject<NameInput, NameOutput> {
  readonly #files = new Map<string, { readonly value: string; readonly version: number }>();
  readonly #keyCount: number;
  #version = 0;
  #valueCount = 0;

  constructor(keyCount: number) {
    this.#keyCount = keyCount;
  }

  draw(random: SeededRandom): { readonly key: string; readonly input: NameInput } {
    return { key: `/d${random.integer(this.#keyCount)}`, input: this.#drawInput(random) };
  }

  #drawInput(random: SeededRandom): NameInput {
    const name = drawName(random);
    this.#valueCount += 1;
    switch (random.integer(8)) {
      case 0:
        return { kind: "create", name };
      case 1:
      case 2:
        return { kind: "put", name, value: `w${this.#valueCount}` };
      case 3:
        return { kind: "remove", name };
      case 4:
        return { kind: "rename", name, to: drawName(random) };
      default:
        return { kind: "read", name };
    }
  }

  perform(key: string, input: NameInput): NameOutput {
    if (input.kind === "transact") throw new Error("Transactions are never drawn");
    const path = `${key}/${input.name}`;
    const file = this.#files.get(path);
    if (input.kind === "read") return file === undefined ? { kind: "nothing" } : found(file);
    const isFree = file === undefined;
    if (input.kind === "create" && !isFree) return { kind: "refused", code: "ALREADY_EXISTS" };
    const needsFile = input.kind === "remove" || input.kind === "rename";
    if (needsFile && isFree) return { kind: "refused", code: "NOT_FOUND" };
    this.#version += 1;
    const version = this.#version;
    if (input.kind === "create") this.#files.set(path, { value: "", version });
    if (input.kind === "put") this.#files.set(path, { value: input.value, version });
    if (input.kind === "remove") this.#files.delete(path);
    if (input.kind === "rename" && file !== undefined && input.to !== input.name) {
      this.#files.delete(path);
      this.#files.set(`${key}/${input.to}`, { value: file.value, version });
    }
    return { kind: "done", version };
  }
}

const found = (file: { readonly value: string; readonly version: number }): NameOutput => {
  return { kind: "found", ...file };
};

function drawName(random: SeededRandom): string {
  return NAMES[random.integer(NAMES.length)] as string;
}
