import assert from "node:assert/strict";
import type { Command, NamespaceOperation, Outcome } from "../../../master/namespace/command.ts";
import { encodeCommand } from "../../../master/namespace/command-encoding.ts";
import type { Namespace } from "../../../master/namespace/namespace.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { SessionId } from "../../../shared/base/ids.ts";
import type { TestGroup, TestMember } from "../../master/driver/test-group.ts";
import { at, inline, OWNER } from "../../master/namespace/harness.ts";
import type { NameChange, NameInput, NameOutput } from "../linearizability/directory-operations.ts";
import type { Operation } from "../linearizability/history.ts";

const DIRECTORIES = ["/d0", "/d1", "/d2"] as const;
const NAMES = ["a", "b", "c"] as const;
/** Virtual time after which a client abandons a mutation. Its outcome then stays unknown. */
const ANSWER_TIMEOUT_MS = 4_000;
/** Outcomes that a client may request again, and so has not acknowledged. */
const REMEMBERED_COUNT = 8;

/** The numbers of operations of all clients, by their result. */
export interface ClientCounts {
  mutations: number;
  refusals: number;
  unanswered: number;
  reads: number;
  repeats: number;
}

/** The dependencies of a client. All clients of a simulation share one object. */
export interface NamespaceClientDeps {
  readonly group: TestGroup;
  readonly counts: ClientCounts;
  readonly history: Operation<NameInput, NameOutput>[];
  /**
   * Number of calls and returns so far, used as their time: unique, also at equal virtual times.
   */
  eventCount: number;
  /** Set at the end of the simulation. Clients then finish their present operation. */
  isOver: boolean;
}

interface RememberedMutation {
  readonly sequence: number;
  readonly operations: readonly NamespaceOperation[];
  readonly outcome: Outcome;
}

/**
 * A client of the namespace with one session. It sends each operation to any member, retries an
 * unanswered mutation with the same sequence, and sometimes repeats an old, answered mutation.
 */
export class NamespaceClient {
  readonly #deps: NamespaceClientDeps;
  readonly #name: string;
  #processNumber = 1;
  #sessionId = 0 as SessionId;
  #sequence = 0;
  #remembered: RememberedMutation[] = [];

  constructor(deps: NamespaceClientDeps, name: string) {
    this.#deps = deps;
    this.#name = name;
  }

  /** Runs random operations until `isOver`. */
  async run(): Promise<void> {
    const { group } = this.#deps;
    const { random, clock } = group;
    await this.#openSession();
    while (!this.#deps.isOver) {
      const dice = random.fraction();
      if (dice < 0.45) await this.read(this.#pick(DIRECTORIES), this.#pick(NAMES));
      else if (dice < 0.9) await this.#mutate(this.#pick(DIRECTORIES));
      else await this.#repeat();
      await clock.sleep(random.integer(120));
    }
  }

  /** Sends a linearizable read to any member. A read without an answer is not recorded. */
  async read(key: string, name: string): Promise<void> {
    const callTime = this.#now();
    const output = await this.#findFile(`${key}/${name}`);
    if (output === null) return;
    this.#deps.counts.reads += 1;
    this.#record({ key, input: { kind: "read", name }, output, callTime });
  }

  /** Bootstraps the cluster and makes the directories `/d0` to `/d2`. */
  async bootstrapCluster(bootstrap: Command): Promise<void> {
    await this.#submit(() => bootstrap);
    await this.#openSession();
    for (const path of DIRECTORIES) {
      const operation: NamespaceOperation = {
        kind: "make-directory",
        target: at(path),
        parents: true,
        ...OWNER,
        mode: 0o755,
      };
      const outcome = await this.#attempt(this.#nextSequence(), [operation]);
      assert.ok(outcome?.ok === true, "making a directory succeeds");
    }
  }

  /** Returns all files that may exist, to be read at the end of the simulation. */
  static allFiles(): readonly (readonly [key: string, name: string])[] {
    return DIRECTORIES.flatMap((key) => NAMES.map((name) => [key, name] as const));
  }

  async #openSession(): Promise<void> {
    const clientName = this.#name;
    const outcome = await this.#submit((nowMs) => ({ kind: "open-session", nowMs, clientName }));
    assert.ok(outcome?.ok === true, "opening a session succeeds");
    this.#sessionId = outcome.index as number as SessionId;
  }

  async #mutate(key: string): Promise<void> {
    const input = this.#drawInput();
    const steps = input.kind === "transact" ? input.steps : [input];
    const operations = steps.map((step) => operationOf(key, step));
    const sequence = this.#nextSequence();
    const callTime = this.#now();
    const outcome = await this.#attempt(sequence, operations);
    const output = outcome === null ? null : outputOf(outcome);
    this.#deps.counts[outputKind(output)] += 1;
    this.#record({ key, input, output, callTime });
    if (outcome === null) return;
    this.#remembered = [...this.#remembered, { sequence, operations, outcome }].slice(
      -REMEMBERED_COUNT,
    );
  }

  /** Repeats an old mutation and asserts that it returns the first outcome (G4). */
  async #repeat(): Promise<void> {
    const floor = this.#floor();
    const old = this.#pick(this.#remembered.filter((each) => each.sequence >= floor));
    if (old === undefined) return;
    const outcome = await this.#attempt(old.sequence, old.operations);
    if (outcome === null) return;
    this.#deps.counts.repeats += 1;
    const { index, ok } = old.outcome;
    assert.deepEqual(
      { ok: outcome.ok, index: outcome.index },
      { ok, index },
      `a repeat of mutation ${old.sequence} of ${this.#name} returns the first outcome`,
    );
  }

  #drawInput(): NameChange | Extract<NameInput, { kind: "transact" }> {
    const { random } = this.#deps.group;
    const name = this.#pick(NAMES);
    const value = `${this.#name}-${this.#sequence + 1}`;
    switch (random.integer(8)) {
      case 0:
        return { kind: "create", name };
      case 1:
        return { kind: "remove", name };
      case 2:
      case 3:
        return { kind: "rename", name, to: this.#pick(NAMES) };
      case 4:
        // The second step is often refused. Then the first step must have no effect.
        return {
          kind: "transact",
          steps: [
            { kind: "put", name, value },
            { kind: "create", name: this.#pick(NAMES) },
          ],
        };
      default:
        return { kind: "put", name, value };
    }
  }

  #nextSequence(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  /** Returns the lowest sequence that this client may still repeat. */
  #floor(): number {
    return Math.max(1, this.#sequence - REMEMBERED_COUNT);
  }

  #attempt(sequence: number, operations: readonly NamespaceOperation[]): Promise<Outcome | null> {
    const firstUnacknowledged = Math.min(sequence, this.#floor());
    const attempt = { sessionId: this.#sessionId, sequence, firstUnacknowledged };
    return this.#submit((nowMs) => {
      return { kind: "transact", nowMs, attempt, preconditions: [], operations };
    });
  }

  /** Proposes a command at one member after another until one answers. Null: outcome unknown. */
  async #submit(commandAt: (nowMs: number) => Command): Promise<Outcome | null> {
    const { clock, random } = this.#deps.group;
    const untilMs = clock.monotonicMs() + ANSWER_TIMEOUT_MS;
    while (this.#deps.isOver || clock.monotonicMs() < untilMs) {
      const member = this.#memberToAsk();
      const outcome =
        member === undefined
          ? null
          : await answerOf(member, () =>
              member.running.propose(encodeCommand(commandAt(clock.wallMs()))),
            );
      if (outcome !== null) return outcome.outcome as Outcome;
      await clock.sleep(10 + random.integer(100));
    }
    return null;
  }

  async #findFile(path: string): Promise<NameOutput | null> {
    const member = this.#member();
    if (member === undefined) return null;
    const index = await answerOf(member, () => member.running.confirmRead(2_000));
    if (index === null) return null;
    const namespace = member.running.stateMachine as Namespace;
    assert.ok(namespace.appliedIndex >= index, "the read index is applied");
    try {
      const part = namespace.locate(at(path), { firstPosition: 0, count: 1 });
      assert.ok(part.inlineBytes !== null, "a small file is inline");
      const value = new TextDecoder().decode(part.inlineBytes);
      return { kind: "found", value, version: part.attributes.version };
    } catch (error) {
      if (isAshlarError(error, "NOT_FOUND")) return { kind: "nothing" };
      throw error;
    }
  }

  /** Returns usually a member that believes it is the leader. There may be several, or none. */
  #memberToAsk(): TestMember | undefined {
    const { members, random } = this.#deps.group;
    if (random.fraction() < 0.2) return this.#member();
    const leading = members.filter((each) => each.isUp && each.running.status().role === "leader");
    return this.#pick(leading);
  }

  #member(): TestMember | undefined {
    const up = this.#deps.group.members.filter((member) => member.isUp);
    return this.#pick(up);
  }

  #pick<T>(choices: readonly T[]): T;
  #pick<T>(choices: readonly T[]): T | undefined {
    return choices[this.#deps.group.random.integer(choices.length)];
  }

  #now(): number {
    this.#deps.eventCount += 1;
    return this.#deps.eventCount;
  }

  #record(part: {
    readonly key: string;
    readonly input: NameInput;
    readonly output: NameOutput | null;
    readonly callTime: number;
  }): void {
    const process = this.#processNumber === 1 ? this.#name : `${this.#name}.${this.#processNumber}`;
    this.#deps.history.push({ process, ...part, returnTime: this.#now() });
    if (part.output === null) this.#processNumber += 1;
  }
}

/**
 * Returns the answer of a member. Null after an error, or if the member has restarted meanwhile.
 */
async function answerOf<T>(member: TestMember, ask: () => Promise<T>): Promise<T | null> {
  const { runNumber, driver } = member;
  try {
    const answer = await ask();
    return member.runNumber === runNumber && member.driver === driver ? answer : null;
  } catch (error) {
    if (isAshlarError(error)) return null;
    throw error;
  }
}

function operationOf(directory: string, input: NameChange): NamespaceOperation {
  const target = at(`${directory}/${input.name}`);
  switch (input.kind) {
    case "create":
      return { kind: "create", target, ...OWNER };
    case "put":
      return { kind: "put", target, content: inline(input.value), replace: true, ...OWNER };
    case "remove":
      return { kind: "unlink", target };
    case "rename": {
      const to = at(`${directory}/${input.to}`);
      return { kind: "rename", from: target, to, noReplace: false };
    }
  }
}

function outputOf(outcome: Outcome): NameOutput {
  if (outcome.ok) return { kind: "done", version: outcome.index };
  const { code, reason } = outcome;
  assert.ok(code === "ALREADY_EXISTS" || code === "NOT_FOUND", `${code}: ${reason}`);
  return { kind: "refused", code };
}

function outputKind(output: NameOutput | null): "mutations" | "refusals" | "unanswered" {
  if (output === null) return "unanswered";
  return output.kind === "refused" ? "refusals" : "mutations";
}
