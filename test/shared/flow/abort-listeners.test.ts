import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it } from "node:test";
import { listenToAbort } from "../../../shared/flow/abort-listeners.ts";

const countOf = (signal: AbortSignal): number => getEventListeners(signal, "abort").length;

describe("listeners of a signal", () => {
  it("take one place in its list, however many there are, and none after the last is removed", () => {
    const { signal } = new AbortController();
    const removals = Array.from({ length: 1_000 }, () => listenToAbort(signal, () => {}));
    assert.equal(countOf(signal), 1);
    for (const remove of removals) {
      remove();
      remove();
    }
    assert.equal(countOf(signal), 0);
    const remove = listenToAbort(signal, () => {});
    assert.equal(countOf(signal), 1);
    remove();
  });

  it("are called once, in their order, but not those that were removed, before or by another", () => {
    const controller = new AbortController();
    const { signal } = controller;
    const called: string[] = [];
    listenToAbort(signal, () => {
      called.push("first");
      removeThird();
      listenToAbort(signal, () => called.push("too late"));
    });
    const removeSecond = listenToAbort(signal, () => called.push("second"));
    const removeThird = listenToAbort(signal, () => called.push("third"));
    const twice = (): void => {
      called.push("twice");
    };
    listenToAbort(signal, twice);
    listenToAbort(signal, twice);
    removeSecond();
    controller.abort();
    assert.deepEqual(called, ["first", "twice", "twice"]);
    assert.equal(countOf(signal), 0);
  });

  it("are never called if the signal has aborted already", () => {
    const remove = listenToAbort(AbortSignal.abort(), () => assert.fail("not called"));
    remove();
  });
});
