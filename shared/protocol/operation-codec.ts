import { parser } from "./method.ts";
import { largeOperationSchema, type Operation, type SmallOperation } from "./namespace-api.ts";
import { booleanAt, type Fields, fieldsOf, integerAt, malformed, timeAt } from "./positional.ts";
import { MODE_MAX, OWNER_MAX } from "./schemas.ts";
import { encodeTarget, targetAt } from "./target-codec.ts";

/*
 * The encoding of operations: the small ones are arrays that begin with a code, the others are
 * maps.
 */

const CODES = {
  "make-directory": 1,
  create: 2,
  rename: 3,
  unlink: 4,
  "remove-directory": 5,
  "remove-tree": 6,
  "set-attributes": 7,
} as const satisfies Record<SmallOperation["kind"], number>;

const WHAT = "operation";
const parseLarge = parser(WHAT, largeOperationSchema);

/** Encodes an operation for the wire. */
export function encodeOperation(operation: Operation): unknown {
  switch (operation.kind) {
    case "create": {
      const { kind, target, mode, uid, gid } = operation;
      return [CODES[kind], encodeTarget(target), mode, uid, gid];
    }
    case "make-directory": {
      const { kind, target, parents, mode, uid, gid } = operation;
      return [CODES[kind], encodeTarget(target), mode, uid, gid, parents];
    }
    case "rename": {
      const { kind, from, to, noReplace } = operation;
      return [CODES[kind], encodeTarget(from), encodeTarget(to), noReplace];
    }
    case "unlink":
    case "remove-directory":
    case "remove-tree":
      return [CODES[operation.kind], encodeTarget(operation.target)];
    case "set-attributes": {
      const { kind, target, mode, uid, gid, mtimeMs, atimeMs } = operation;
      const changes = [mode, uid, gid, mtimeMs, atimeMs].map((change) => change ?? null);
      return [CODES[kind], encodeTarget(target), ...changes];
    }
    default:
      return operation;
  }
}

/** Decodes a result of `encodeOperation`. @throws {AshlarError} PROTOCOL_ERROR */
export function decodeOperation(value: unknown): Operation {
  if (!Array.isArray(value)) return parseLarge(value);
  const fields = fieldsOf(value, WHAT, 2);
  const target = targetAt(fields, 1, WHAT);
  switch (fields[0]) {
    case CODES.create: {
      const { mode, uid, gid } = ownedAt(fields);
      return { kind: "create", target, mode, uid, gid };
    }
    case CODES["make-directory"]: {
      const { mode, uid, gid } = ownedAt(fields);
      const parents = booleanAt(fields, 5, WHAT);
      return { kind: "make-directory", target, parents, mode, uid, gid };
    }
    case CODES.rename: {
      const to = targetAt(fields, 2, WHAT);
      return { kind: "rename", from: target, to, noReplace: booleanAt(fields, 3, WHAT) };
    }
    case CODES.unlink:
      return { kind: "unlink", target };
    case CODES["remove-directory"]:
      return { kind: "remove-directory", target };
    case CODES["remove-tree"]:
      return { kind: "remove-tree", target };
    case CODES["set-attributes"]:
      return { kind: "set-attributes", target, ...changesOf(fields) };
    default:
      throw malformed(`${WHAT}[0]`, "expected the code of an operation");
  }
}

function ownedAt(fields: Fields) {
  return {
    mode: integerAt(fields, 2, WHAT, 0, MODE_MAX),
    uid: integerAt(fields, 3, WHAT, 0, OWNER_MAX),
    gid: integerAt(fields, 4, WHAT, 0, OWNER_MAX),
  };
}

function changesOf(fields: Fields) {
  const [, , mode, uid, gid, mtimeMs, atimeMs] = fieldsOf(fields, WHAT, 7);
  return {
    ...(mode === null ? {} : { mode: integerAt(fields, 2, WHAT, 0, MODE_MAX) }),
    ...(uid === null ? {} : { uid: integerAt(fields, 3, WHAT, 0, OWNER_MAX) }),
    ...(gid === null ? {} : { gid: integerAt(fields, 4, WHAT, 0, OWNER_MAX) }),
    ...(mtimeMs === null ? {} : { mtimeMs: timeAt(fields, 5, WHAT) }),
    ...(atimeMs === null ? {} : { atimeMs: timeAt(fields, 6, WHAT) }),
  };
}
