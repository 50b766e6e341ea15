import { nextTick } from "node:process";
import { assert } from "../../shared/base/assert.ts";
import { sleepOn } from "../../shared/flow/sleep.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";

interface Scheduled {
  readonly dueMs: number;
  readonly order: number;
  task: (() => void) | null;
}

/** `wallMs` of a new clock: 2026-01-01. */
const WALL_START_MS = 1_767_225_600_000;

/**
 * A clock whose time passes only in `advance` and jumps from one task to the next. It is
 * deterministic and as fast as the tasks. Tasks that are due at the same time run in the order of
 * their creation.
 *
 * All promise reactions run between two tasks. So a component whose disk and network are also
 * simulated behaves the same in every run.
 */
export class VirtualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  /** A binary heap by (dueMs, order). */
  readonly #heap: Scheduled[] = [];

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return WALL_START_MS + Math.floor(this.#nowMs);
  }

  sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, durationMs, signal);
  }

  after(durationMs: number, task: () => void): Timer {
    assert(durationMs >= 0, "a duration is not negative");
    const scheduled: Scheduled = { dueMs: this.#nowMs + durationMs, order: this.#order, task };
    this.#order += 1;
    this.#push(scheduled);
    return {
      cancel: () => {
        scheduled.task = null;
      },
    };
  }

  yieldTurn(): Promise<void> {
    return new Promise((resolve) => {
      this.after(0, resolve);
    });
  }

  afterReactions(task: () => void): void {
    queueMicrotask(() => nextTick(task)); // As `SystemClock` does.
  }

  /** Advances time by `durationMs` and runs all tasks that become due, in order. */
  async advance(durationMs: number): Promise<void> {
    const untilMs = this.#nowMs + durationMs;
    await settled();
    while (await this.step(untilMs));
    this.#nowMs = untilMs;
  }

  /**
   * Runs the next task that is due by `untilMs` and its promise reactions. Returns false if no task
   * is due.
   */
  async step(untilMs = Number.POSITIVE_INFINITY): Promise<boolean> {
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.dueMs > untilMs) return false;
      this.#pop();
      if (next.task === null) continue;
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.task();
      await settled();
      return true;
    }
  }

  /** Advances time until `isDone` returns true. Fails after `limitMs` of virtual time. */
  async advanceUntil(isDone: () => boolean, what: string, limitMs = 60_000): Promise<void> {
    const untilMs = this.#nowMs + limitMs;
    await settled();
    while (!isDone()) {
      assert(this.#nowMs < untilMs, `within ${limitMs} ms of virtual time: ${what}`);
      const nextMs = this.#heap[0]?.dueMs ?? untilMs;
      await this.advance(Math.max(0, Math.min(nextMs, untilMs) - this.#nowMs));
    }
  }

  /** Advances time until `promise` settles. Returns its value or throws its reason. */
  async advanceFor<T>(promise: Promise<T>, what: string, limitMs = 60_000): Promise<T> {
    let isSettled = false;
    const watched = promise.finally(() => {
      isSettled = true;
    });
    watched.catch(() => {}); // The `await` below reports the rejection.
    await this.advanceUntil(() => isSettled, what, limitMs);
    return await watched;
  }

  /** Simulates a stall of the event loop: time passes and no task runs. Due tasks run later. */
  stall(durationMs: number): void {
    this.#nowMs += durationMs;
  }

  #push(scheduled: Scheduled): void {
    const heap = this.#heap;
    let child = heap.length;
    heap.push(scheduled);
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!isBefore(scheduled, heap[parent] as Scheduled)) break;
      heap[child] = heap[parent] as Scheduled;
      child = parent;
    }
    heap[child] = scheduled;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Scheduled;
    if (heap.length === 0) return;
    let parent = 0;
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, heap[child] as Scheduled)) child += 1;
      if (!isBefore(heap[child] as Scheduled, last)) break;
      heap[parent] = heap[child] as Scheduled;
      parent = child;
    }
    heap[parent] = last;
  }
}

function isBefore(left: Scheduled, right: Scheduled): boolean {
  return left.dueMs < right.dueMs || (left.dueMs === right.dueMs && left.order < right.order);
}

/** Resolves when all promise reactions have run: setImmediate runs after them. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
