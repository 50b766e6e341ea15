import assert from "node:assert/strict";
import { constants } from "node:os";
import { describe, it } from "node:test";
import {
  AshlarError,
  ERROR_CODES,
  type ErrorCode,
  type ErrorData,
  fromErrorData,
  isAshlarError,
  toErrorData,
} from "../../../shared/base/errors.ts";

const codes = Object.keys(ERROR_CODES) as ErrorCode[];

describe("error table", () => {
  it("has an HTTP error status, an errno of Linux and an exit status for every code", () => {
    for (const code of codes) {
      const { httpStatus, errno, exitStatus } = ERROR_CODES[code];
      assert.ok(httpStatus >= 400 && httpStatus < 600, code);
      assert.ok(Object.hasOwn(constants.errno, errno), code);
      assert.ok(Number.isInteger(exitStatus) && exitStatus > 0 && exitStatus < 256, code);
    }
  });
});

describe("an error that crosses a process boundary", () => {
  it("keeps code, message, hint and details, without stack and cause", () => {
    const error = new AshlarError("NO_SPACE", "Cannot write", {
      cause: new Error("ENOSPC"),
      hint: "Add a disk",
      details: { path: "/x" },
    });
    const data = toErrorData(error);
    assert.deepEqual(data, {
      code: "NO_SPACE",
      message: "Cannot write",
      hint: "Add a disk",
      details: { path: "/x" },
    });
    const again = fromErrorData(data);
    assert.deepEqual(
      [isAshlarError(again, "NO_SPACE"), isAshlarError(again, "NOT_FOUND")],
      [true, false],
    );
    assert.deepEqual(toErrorData(again), data);
    assert.equal(again.cause, undefined);
    assert.equal(again.retry, "never");
    assert.equal(again.errno, "ENOSPC");
  });

  it("has no fields for an absent hint and absent details", () => {
    assert.deepEqual(toErrorData(new AshlarError("NOT_FOUND", "No")), {
      code: "NOT_FOUND",
      message: "No",
    });
  });

  it("is INTERNAL if it is not an AshlarError, or has a code unknown to this version", () => {
    assert.deepEqual(toErrorData(new TypeError("x")), { code: "INTERNAL", message: "x" });
    assert.deepEqual(toErrorData("text"), { code: "INTERNAL", message: "text" });
    for (const code of ["FROM_THE_FUTURE", "toString", "__proto__"]) {
      const data = { code, message: "m" } as unknown as ErrorData;
      assert.equal(fromErrorData(data).code, "INTERNAL");
    }
  });
});
