import fc from "fast-check";
import type * as v from "valibot";
import { shapeOf } from "../../shared/protocol/schemas.ts";

/** Values of the cluster under test. Requests with them pass the first checks of a handler. */
export interface KnownValues {
  readonly paths: readonly Uint8Array[];
  readonly integers: readonly number[];
  /** Ids of 32 hex digits: the cluster, chunkservers, uploads. */
  readonly shortIds: readonly string[];
  /** Ids of 64 hex digits: chunks. */
  readonly chunkIds: readonly string[];
  readonly texts: readonly string[];
  /** Term of the leader. */
  readonly raftTerm: number;
  /** Values of one field, by its name. Other values are generated, too. */
  readonly fields: Readonly<Record<string, readonly unknown[]>>;
  /** All values of one field, by the name of its method and its own: other values do harm. */
  readonly harmless: Readonly<Record<string, readonly unknown[]>>;
}

/** Integers at which an encoding or an addition changes its behaviour. */
const INTEGERS = [
  ...[0, 1, 2, 255, 256, 4_096, 65_535, 65_536, 2 ** 20, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1],
  ...[2 ** 32, 2 ** 48 - 1, 2 ** 48, 2 ** 53 - 2, 2 ** 53 - 1],
];
/** Values that most fields must refuse. */
const ALIENS: readonly unknown[] = [
  ...[-1, 0.5, -(2 ** 53), 2 ** 53, 2 ** 64, Number.NaN, Number.POSITIVE_INFINITY, -0],
  ...[null, true, "", "\ud800", "__proto__", [], {}, new Uint8Array(0), [[[[[[[[]]]]]]]]],
  { __proto__: null, constructor: 1 },
];
const DEEP_LEVELS = 500;
/** Most elements of a generated array. Longer arrays are made by repetition of one element. */
const ELEMENTS_MAX = 4;
const REPEATED_MAX = 4_096;

const deep = (): unknown => {
  let value: unknown = 0;
  for (let level = 0; level < DEEP_LEVELS; level += 1) value = [value];
  return value;
};

/**
 * Returns a generator of values that `schema` accepts, with its extremes, and of some others.
 *
 * @param name the name of the method, and for a field ".field"
 */
export function valuesOf(
  schema: v.GenericSchema,
  known: KnownValues,
  name = "",
): fc.Arbitrary<unknown> {
  const harmless = known.harmless[name];
  if (harmless !== undefined) return fc.constantFrom(...harmless);
  const own = known.fields[name.slice(name.lastIndexOf(".") + 1)];
  const valid = validValuesOf(schema as Described, known, name);
  if (own === undefined) return valid;
  return fc.oneof({ arbitrary: fc.constantFrom(...own), weight: 6 }, valid);
}

/** The parts of a Valibot schema that describe what it accepts. */
interface Described {
  readonly type: string;
  readonly pipe?: readonly { readonly type: string; readonly requirement?: unknown }[];
  readonly entries?: Readonly<Record<string, v.GenericSchema>>;
  readonly options?: readonly v.GenericSchema[] | readonly string[];
  readonly item?: v.GenericSchema;
  readonly wrapped?: v.GenericSchema;
  readonly literal?: unknown;
}

function validValuesOf(schema: Described, known: KnownValues, name: string): fc.Arbitrary<unknown> {
  switch (schema.type) {
    case "object":
      return objectsOf(schema, known, name);
    case "variant":
      return fc.oneof(
        ...(schema.options as readonly v.GenericSchema[]).map((each) =>
          valuesOf(each, known, name),
        ),
      );
    case "array":
      return arraysOf(schema, known, name);
    case "optional":
      return fc.option(valuesOf(wrappedOf(schema), known, name), { nil: undefined });
    case "nullable":
      return fc.option(valuesOf(wrappedOf(schema), known, name), { nil: null });
    case "literal":
      return fc.constant(schema.literal);
    case "picklist":
      return fc.constantFrom(...(schema.options as readonly string[]));
    case "boolean":
      return fc.boolean();
    case "string":
      return textsOf(limitOf(schema, "max_length") ?? REPEATED_MAX, known);
    case "number":
      return integersOf(limitOf(schema, "min_value"), limitOf(schema, "max_value"), known);
    case "instance":
      return bytesOf(0, REPEATED_MAX, known);
    case "custom":
      return customValuesOf(schema, known);
    default:
      throw new Error(`The fuzzer has no generator for the schema type ${schema.type}`);
  }
}

function customValuesOf(schema: Described, known: KnownValues): fc.Arbitrary<unknown> {
  // The first element of a pipe is the schema that it narrows.
  const shape = shapeOf(schema) ?? shapeOf((schema.pipe?.[0] ?? schema) as object);
  if (shape === null) throw new Error("A custom schema has no shape");
  switch (shape.kind) {
    case "hex": {
      const ids = shape.digits === 64 ? known.chunkIds : known.shortIds;
      return fc.constantFrom("0".repeat(shape.digits), "f".repeat(shape.digits), ...ids);
    }
    case "integer":
      return integersOf(
        limitOf(schema, "min_value") ?? shape.minimum,
        limitOf(schema, "max_value") ?? shape.maximum,
        known,
      );
    case "bytes":
      return bytesOf(shape.lengthMin, shape.lengthMax, known);
  }
}

function objectsOf(schema: Described, known: KnownValues, name: string): fc.Arbitrary<unknown> {
  const fields = Object.entries(schema.entries ?? {}).map(([field, each]) => [
    field,
    valuesOf(each, known, `${name}.${field}`),
  ]);
  return fc.record(Object.fromEntries(fields));
}

function arraysOf(schema: Described, known: KnownValues, name: string): fc.Arbitrary<unknown> {
  const item = valuesOf(schema.item as v.GenericSchema, known, name);
  const lengthMax = Math.min(limitOf(schema, "max_length") ?? REPEATED_MAX, REPEATED_MAX);
  const minLength = limitOf(schema, "min_length") ?? 0;
  const short = fc.array(item, { minLength, maxLength: Math.min(ELEMENTS_MAX, lengthMax) });
  const repeated = fc
    .tuple(item, fc.constantFrom(2, lengthMax, lengthMax + 1))
    .map(([element, count]) => new Array<unknown>(count).fill(element));
  return fc.oneof({ arbitrary: short, weight: 9 }, { arbitrary: repeated, weight: 1 });
}

/** Generates texts of up to `lengthMax` UTF-16 code units. */
function textsOf(lengthMax: number, known: KnownValues): fc.Arbitrary<string> {
  const extremes = ["", "a".repeat(lengthMax), "\u{1f4be}".repeat(lengthMax >> 1), "\udc00", "\0"];
  return fc.constantFrom(...extremes, ...known.texts);
}

/** Generates integers of a range with its ends, and seldom one beyond them. */
export function integersOf(
  minimum: number | null,
  maximum: number | null,
  known: KnownValues,
): fc.Arbitrary<number> {
  const [from, to] = [minimum ?? 0, maximum ?? Number.MAX_SAFE_INTEGER];
  const isInside = (value: number): boolean => value >= from && value <= to;
  const extremes = [from, to, ...INTEGERS].filter(isInside);
  const inside = [...known.integers.filter(isInside), from];
  return fc.oneof(
    { arbitrary: fc.constantFrom(...inside), weight: 70 },
    { arbitrary: fc.constantFrom(...extremes), weight: 27 },
    { arbitrary: fc.constantFrom(from - 1, to + 1), weight: 3 },
  );
}

/** Generates byte strings of a range of lengths: paths, names and others. */
function bytesOf(
  lengthMin: number,
  lengthMax: number,
  known: KnownValues,
): fc.Arbitrary<Uint8Array> {
  const fits = known.paths.filter(({ length }) => length >= lengthMin && length <= lengthMax);
  const deepPath = new TextEncoder().encode("/a".repeat(lengthMax >> 1));
  const longest = new Uint8Array(lengthMax).fill(0x61);
  return fc.oneof(
    { arbitrary: fc.constantFrom(...fits, new Uint8Array(lengthMin).fill(0x61)), weight: 8 },
    { arbitrary: fc.constantFrom(longest, deepPath, new Uint8Array(lengthMin)), weight: 1 },
    {
      arbitrary: fc.uint8Array({ minLength: lengthMin, maxLength: Math.min(lengthMax, 64) }),
      weight: 2,
    },
  );
}

/** Replaces one node of some of the values by a value of another type, or removes it. */
export function spoiled(values: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const change = fc.record({
    at: fc.nat(1_000),
    alien: fc.constantFrom(...ALIENS, deep(), undefined),
  });
  const isSpoiled = fc.integer({ min: 0, max: 9 }).map((number) => number < 2);
  return fc
    .tuple(values, change, isSpoiled)
    .map(([value, { at, alien }, spoil]) => (spoil ? replaced(value, at, alien) : value));
}

/** Returns a copy of the tree `value` in which the node number `at`, modulo their count, is `alien`. */
function replaced(value: unknown, at: number, alien: unknown): unknown {
  const count = nodeCount(value);
  let left = at % count;
  const walk = (node: unknown): unknown => {
    left -= 1;
    if (left === -1) return alien;
    if (Array.isArray(node)) return node.map(walk);
    if (!isPlainObject(node)) return node;
    return Object.fromEntries(Object.entries(node).map(([key, each]) => [key, walk(each)]));
  };
  return walk(value);
}

function nodeCount(value: unknown): number {
  if (Array.isArray(value)) return value.reduce((sum: number, each) => sum + nodeCount(each), 1);
  if (!isPlainObject(value)) return 1;
  return Object.values(value).reduce((sum: number, each) => sum + nodeCount(each), 1);
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !(value instanceof Uint8Array);
}

function wrappedOf(schema: Described): v.GenericSchema {
  return schema.wrapped as v.GenericSchema;
}

/** Returns the bound that an action of the schema's pipe sets, or that of its custom schema. */
function limitOf(schema: Described, action: string): number | null {
  const found = schema.pipe?.find((each) => each.type === action);
  return typeof found?.requirement === "number" ? found.requirement : null;
}
