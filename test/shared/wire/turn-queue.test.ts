import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Role } from "../../../shared/protocol/roles.ts";
import { Lane, type PartPlace, TurnQueue } from "../../../shared/wire/turn-queue.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

/** A queue whose parts have names: of their connection, and a number. */
class NamedQueue {
  readonly queue = new TurnQueue();
  readonly #lanes = new Map<string, Lane>();
  readonly #counts = new Map<string, number>();
  #begun: string[] = [];

  /** Adds the next part of a connection. */
  push(connection: string, role: Role = "client"): PartPlace {
    const lane = this.#lanes.get(connection) ?? new Lane(role);
    this.#lanes.set(connection, lane);
    const number = (this.#counts.get(connection) ?? 0) + 1;
    this.#counts.set(connection, number);
    return this.queue.push(lane, () => this.#begun.push(`${connection}${number}`));
  }

  /** Adds the next part of the connection with this number. The last one of five is a chunkserver. */
  pushAt(number: number): { readonly name: string; readonly place: PartPlace } {
    const connection = "abcde".charAt(number);
    const place = this.push(connection, connection === "e" ? "chunkserver" : "client");
    return { name: `${connection}${this.#counts.get(connection)}`, place };
  }

  /** Begins `count` parts, and returns their names. */
  take(count: number): string[] {
    this.#begun = [];
    for (let part = 0; part < count; part += 1) this.queue.shift()?.();
    return this.#begun;
  }
}

describe("the parts that wait for their turn", () => {
  it("are in the order of their connection", () => {
    const parts = new NamedQueue();
    for (let part = 0; part < 3; part += 1) parts.push("a");
    assert.deepEqual(parts.take(5), ["a1", "a2", "a3"]);
    assert.ok(parts.queue.isEmpty);
  });

  it("of one connection do not delay another one by more than one of them", () => {
    const parts = new NamedQueue();
    for (let part = 0; part < 4_096; part += 1) parts.push("a");
    assert.deepEqual(parts.take(1), ["a1"]);
    parts.push("b");
    assert.deepEqual(parts.take(3), ["a2", "b1", "a3"]);
    parts.push("c");
    parts.push("b");
    assert.deepEqual(parts.take(4), ["a4", "c1", "b2", "a5"]);
  });

  it("of clients do not delay those of chunkservers by their number", () => {
    const parts = new NamedQueue();
    for (let client = 0; client < 1_000; client += 1) parts.push(`client ${client} part `);
    parts.take(1);
    for (const server of ["s", "t"]) parts.push(server, "chunkserver");
    const [first, second, third, fourth] = parts.take(4);
    assert.deepEqual([first, third], ["s1", "t1"]);
    assert.match(`${second}, ${fourth}`, /client 1 part 1, client 2 part 1/);
  });

  it("can be removed at any place, and each other one begins once", () => {
    const random = new SeededRandom(7);
    const parts = new NamedQueue();
    for (let round = 0; round < 50; round += 1) {
      const waiting: string[] = [];
      const places: PartPlace[] = [];
      const pushed = Array.from({ length: 40 }, () => parts.pushAt(random.integer(5)));
      for (const { name, place } of pushed) {
        if (random.integer(2) === 0) places.push(place);
        else waiting.push(name);
      }
      places.sort(() => random.fraction() - 0.5);
      for (const place of places) parts.queue.remove(place);
      assert.equal(parts.queue.isEmpty, waiting.length === 0);
      assert.deepEqual(parts.take(41).sort(), waiting.sort());
      assert.ok(parts.queue.isEmpty);
    }
  });
});
