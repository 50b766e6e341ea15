import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Closers } from "../../../shared/flow/closers.ts";

describe("Closers", () => {
  it("closes in reverse order, one resource after the other", async () => {
    const order: string[] = [];
    const closers = new Closers();
    closers.use({ [Symbol.dispose]: () => order.push("first") });
    closers.use({
      [Symbol.asyncDispose]: async () => {
        await Promise.resolve();
        order.push("second");
      },
    });
    closers.defer(() => {
      order.push("third");
    });
    await closers[Symbol.asyncDispose]();
    assert.deepEqual(order, ["third", "second", "first"]);
  });

  it("closes the resources that were opened before a failure", async () => {
    const order: string[] = [];
    const start = async (): Promise<Closers> => {
      await using closers = new Closers();
      closers.defer(() => {
        order.push("closed");
      });
      throw new Error("the port is in use");
    };
    await assert.rejects(start, /the port is in use/);
    assert.deepEqual(order, ["closed"]);
  });

  it("leaves the resources open for the caller after a move", async () => {
    const order: string[] = [];
    const start = async (): Promise<Closers> => {
      await using closers = new Closers();
      closers.defer(() => {
        order.push("closed");
      });
      return closers.move();
    };
    const owned = await start();
    assert.deepEqual(order, []);
    await owned[Symbol.asyncDispose]();
    assert.deepEqual(order, ["closed"]);
  });

  it("closes every resource once even if one fails, and throws the first error", async () => {
    const order: string[] = [];
    const closers = new Closers();
    closers.defer(() => {
      order.push("first");
    });
    closers.defer(() => Promise.reject(new Error("second")));
    closers.defer(() => {
      throw new Error("third");
    });
    await assert.rejects(closers[Symbol.asyncDispose](), /third/);
    await closers[Symbol.asyncDispose]();
    assert.deepEqual(order, ["first"]);
  });

  it("refuses a resource after the close", async () => {
    const closers = new Closers();
    await closers[Symbol.asyncDispose]();
    assert.throws(() => closers.defer(() => {}), /no resource is added after the close/);
  });
});
