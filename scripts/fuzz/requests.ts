import fc from "fast-check";
import { raftFetchState } from "../../master/driver/fetch-state.ts";
import * as backupApi from "../../shared/protocol/backup-api.ts";
import * as chunkApi from "../../shared/protocol/chunk-api.ts";
import * as enrolmentApi from "../../shared/protocol/enrolment-api.ts";
import * as feedApi from "../../shared/protocol/feed-api.ts";
import * as fleetApi from "../../shared/protocol/fleet-api.ts";
import * as historyApi from "../../shared/protocol/history-api.ts";
import * as mastersApi from "../../shared/protocol/masters-api.ts";
import type { CallMethod, StreamMethod } from "../../shared/protocol/method.ts";
import * as namespaceApi from "../../shared/protocol/namespace-api.ts";
import { encodeOperation } from "../../shared/protocol/operation-codec.ts";
import * as raftApi from "../../shared/protocol/raft-api.ts";
import { MODE_MAX, OWNER_MAX } from "../../shared/protocol/schemas.ts";
import * as statApi from "../../shared/protocol/stat-api.ts";
import { encodeTarget } from "../../shared/protocol/target-codec.ts";
import * as transactApi from "../../shared/protocol/transact-api.ts";
import { raftBodiesOf } from "./raft-bodies.ts";
import { integersOf, type KnownValues, spoiled, valuesOf } from "./values.ts";

/** A call with any request, encoded for the wire. */
export interface FuzzedCall {
  readonly kind: "call";
  readonly method: CallMethod<unknown, unknown>;
  readonly request: unknown;
}

/** A stream that is opened with any request and sends any messages. */
export interface FuzzedStream {
  readonly kind: "stream";
  readonly method: StreamMethod<unknown, unknown, unknown>;
  readonly open: unknown;
  readonly messages: readonly { readonly head: unknown; readonly body: Uint8Array }[];
}

export type FuzzedRequest = FuzzedCall | FuzzedStream;

const APIS = {
  ...{
    ...backupApi,
    ...chunkApi,
    ...enrolmentApi,
    ...feedApi,
    ...fleetApi,
    ...historyApi,
    ...mastersApi,
  },
  ...{ ...namespaceApi, ...raftApi, ...statApi, ...transactApi, raftFetchState },
};

const MESSAGES_MAX = 3;
const BODY_BYTES = [0, 1, 65_535, 65_536, 65_537, 2 * 1024 * 1024];

/** Returns the name of every method of the wire. */
export function methodNames(): string[] {
  return methods().map(({ name }) => name);
}

type AnyMethod = CallMethod<unknown, unknown> | StreamMethod<unknown, unknown, unknown>;

function methods(): AnyMethod[] {
  return (Object.values(APIS) as unknown[]).filter(
    (value): value is AnyMethod =>
      typeof value === "object" && value !== null && "kind" in value && "name" in value,
  );
}

/** Returns a generator of requests of all methods. */
export function requestsOf(known: KnownValues): fc.Arbitrary<FuzzedRequest> {
  return fc.oneof(
    ...methods().map((method) =>
      method.kind === "call" ? callsOf(method, known) : streamsOf(method, known),
    ),
  );
}

function callsOf(
  method: CallMethod<unknown, unknown>,
  known: KnownValues,
): fc.Arbitrary<FuzzedRequest> {
  const requests =
    method.requestSchema === undefined
      ? arrayRequestsOf(method.name, known)
      : valuesOf(method.requestSchema, known, method.name);
  return spoiled(requests).map((request) => ({ kind: "call", method, request }));
}

/** Generates requests of the methods that are encoded as arrays. */
function arrayRequestsOf(name: string, known: KnownValues): fc.Arbitrary<unknown> {
  switch (name) {
    case statApi.stat.name:
      return statRequestsOf(known);
    case transactApi.transact.name:
      return transactRequestsOf(known);
    default:
      throw new Error(`The fuzzer has no generator for ${name}`);
  }
}

function statRequestsOf(known: KnownValues): fc.Arbitrary<unknown> {
  const targets = valuesOf(namespaceApi.targetSchema, known).map((target) =>
    encodeTarget(target as namespaceApi.Target),
  );
  return fc.tuple(
    fc.constantFrom(0, 1, 2),
    integersOf(0, null, known),
    fc.option(integersOf(0, null, known)),
    fc.array(targets, { minLength: 1, maxLength: 8 }),
  );
}

function transactRequestsOf(known: KnownValues): fc.Arbitrary<unknown> {
  const preconditions = valuesOf(namespaceApi.preconditionSchema, known);
  const operations = fc.oneof(
    smallOperationsOf(known),
    valuesOf(namespaceApi.largeOperationSchema, known),
  );
  const transactions = fc.tuple(
    integersOf(0, null, known),
    fc.array(preconditions, { maxLength: 2 }),
    fc.array(operations, { minLength: 1, maxLength: 4 }),
  );
  const sessionIds = fc.oneof(
    { arbitrary: fc.constantFrom(...(known.fields["sessionId"] as number[])), weight: 9 },
    integersOf(1, null, known),
  );
  return fc.tuple(
    sessionIds,
    fc.oneof({ arbitrary: fc.constant(0), weight: 9 }, integersOf(0, null, known)),
    fc.array(transactions, { minLength: 1, maxLength: 3 }),
  );
}

function smallOperationsOf(known: KnownValues): fc.Arbitrary<unknown> {
  const targets = valuesOf(namespaceApi.targetSchema, known) as fc.Arbitrary<namespaceApi.Target>;
  const owned = {
    target: targets,
    mode: integersOf(0, MODE_MAX, known),
    uid: integersOf(0, OWNER_MAX, known),
    gid: integersOf(0, OWNER_MAX, known),
  };
  const times = fc.option(fc.double(), { nil: undefined });
  const changes = {
    mode: fc.option(owned.mode, { nil: undefined }),
    uid: fc.option(owned.uid, { nil: undefined }),
    gid: fc.option(owned.gid, { nil: undefined }),
  };
  const kindOf = <Kind extends string>(kind: Kind) => ({ kind: fc.constant(kind) });
  return fc
    .oneof(
      fc.record({ ...kindOf("make-directory"), ...owned, parents: fc.boolean() }),
      fc.record({ ...kindOf("create"), ...owned }),
      fc.record({ ...kindOf("rename"), from: targets, to: targets, noReplace: fc.boolean() }),
      fc.record({ ...kindOf("unlink"), target: targets }),
      fc.record({ ...kindOf("remove-directory"), target: targets }),
      fc.record({ ...kindOf("remove-tree"), target: targets }),
      fc.record({
        ...kindOf("set-attributes"),
        ...{ target: targets, ...changes, mtimeMs: times, atimeMs: times },
      }),
    )
    .map((operation) => encodeOperation(operation));
}

function streamsOf(
  method: StreamMethod<unknown, unknown, unknown>,
  known: KnownValues,
): fc.Arbitrary<FuzzedRequest> {
  const heads = spoiled(valuesOf(method.upSchema, known, method.name));
  const opens = spoiled(valuesOf(method.openSchema, known, method.name));
  return opens.chain((open) => {
    const isRaft = method.name === raftApi.raftMessages.name;
    const message = fc.record({ head: heads, body: isRaft ? raftBodiesOf(known, open) : bodies });
    return fc.record({
      kind: fc.constant("stream" as const),
      method: fc.constant(method),
      open: fc.constant(open),
      messages: fc.array(message, { maxLength: MESSAGES_MAX }),
    });
  });
}

const bodies = fc.oneof(
  fc.constantFrom(...BODY_BYTES).map((length) => new Uint8Array(length)),
  fc.uint8Array({ maxLength: 512 }),
);
