import { inCluster, inCopies, inTest, type Mutant } from "./mutant.ts";

/** Bugs of calls and of the answers to chunkservers (`shared/wire`, `master/api`). */
export const CALL_MUTANTS: readonly Mutant[] = [
  {
    name: "verdict-forgets-references",
    bug: "A chunkserver may delete its unrecorded copy of a chunk that lacks copies",
    breaks: "docs/decisions/0002: a needed copy is adopted",
    edits: [
      {
        file: "master/api/confirm-chunks.ts",
        find: '  if (repair.adoptCopy(namespace, serverId, copy.chunkId)) return "undecided";\n',
        replace: "",
      },
    ],
    caughtBy: inCopies(20),
  },
  {
    name: "lost-report-without-intent",
    bug: "The report of a lost copy removes a copy that was sealed later",
    breaks: "a lost copy is ordered by its intent",
    edits: [
      {
        file: "master/namespace/chunks.ts",
        find: "replica.serverId === serverId && replica.intentIndex <= intentIndex;",
        replace: "replica.serverId === serverId && intentIndex >= 0;",
      },
    ],
    caughtBy: inCopies(12),
  },
  {
    name: "wait-outlives-its-call",
    bug: "A wait for an index continues after its caller went away",
    breaks: "docs/operations.md: a wait ends with its call",
    edits: [
      {
        file: "master/driver/applied-waiters.ts",
        find: "if (waiter.caller?.isAborted === true) waiter.reject(abandoned(event));\n    else if (waiter",
        replace: "if (waiter",
      },
    ],
    caughtBy: inTest("test/master/driver/driver.test.ts"),
  },
  {
    name: "reads-resume-together",
    bug: "All reads that are confirmed together are answered in one turn of the event loop",
    breaks: "docs/decisions/0014: calls share a slice of each turn",
    edits: [
      {
        file: "master/api/call-waits.ts",
        find: "consensus.confirmRead(context.remainingMs(), context);\n  await context.turn();\n",
        replace: "consensus.confirmRead(context.remainingMs(), context);\n",
      },
    ],
    caughtBy: inTest("test/master/api/work-slices.test.ts"),
  },
  {
    name: "attempt-with-a-deadline",
    bug: "A call that waits at the leader is sent again after 5 s",
    breaks: "docs/wire-protocol.md: an attempt at the leader has no deadline of its own",
    edits: [
      {
        file: "shared/wire/leader-channel.ts",
        find: "attemptTimeoutMs = Number.POSITIVE_INFINITY",
        replace: "attemptTimeoutMs = 5_000",
      },
    ],
    caughtBy: inTest("test/shared/wire/leader-channel.test.ts"),
  },
  {
    name: "ended-wait-is-counted",
    bug: "A large call that ended while it waited counts for its connection",
    breaks: "each connection gets the same share of the large transactions",
    edits: [
      {
        file: "master/api/transaction-admission.ts",
        find: "if (this.#finishTags.get(connection) === startTag + bytes) {\n      this.#finishTags.set(connection, startTag);\n    }",
        replace: "",
      },
    ],
    caughtBy: inTest("test/master/api/transaction-admission.test.ts"),
  },
  {
    name: "cancelled-call-stays-queued",
    bug: "A call that is cancelled before its start keeps its place, with its request",
    breaks: "docs/operations.md: heads of requests in progress",
    edits: [
      {
        file: "shared/wire/server-call.ts",
        find: "    this.#slices.remove(waiting.place);\n",
        replace: "",
      },
    ],
    caughtBy: inTest("test/shared/wire/turn-slices.test.ts"),
  },
  {
    name: "cancelled-call-keeps-body",
    bug: "A call that is cancelled before its start does not release its body",
    breaks: "the owner of a resource closes it",
    edits: [
      {
        file: "shared/wire/server-connection.ts",
        find: "call.begin(start, () => frame.body.release());",
        replace: "call.begin(start, () => {});",
      },
    ],
    caughtBy: inTest("test/shared/wire/turn-slices.test.ts"),
  },
  {
    name: "large-transaction-next-to-others",
    bug: "A large transaction begins next to others, although both exceed the bound",
    breaks: "docs/operations.md: large transactions in progress",
    edits: [
      {
        file: "master/api/transaction-admission.ts",
        find: "this.#bytes + bytes <= this.#bytesMax;",
        replace: "this.#bytes < this.#bytesMax;",
      },
    ],
    caughtBy: inTest("test/master/api/transaction-admission.test.ts"),
  },
  {
    name: "paths-not-counted",
    bug: "The size of a transaction has no paths",
    breaks: "docs/operations.md: large transactions in progress",
    edits: [
      {
        file: "master/api/transaction-size.ts",
        find: "  for (const { path } of targetsOf(operation)) bytes += path?.length ?? 0;\n",
        replace: "",
      },
    ],
    caughtBy: inTest("test/master/api/transaction-size.test.ts"),
  },
  {
    name: "watches-refused-early",
    bug: "A connection may hold fewer watches than the documents state",
    breaks: "docs/operations.md: watches",
    edits: [
      {
        file: "master/api/watch-memory.ts",
        find: "CONNECTION_BYTES_MAX = 16 * 1024 * 1024;",
        replace: "CONNECTION_BYTES_MAX = 1024 * 1024;",
      },
    ],
    caughtBy: inTest("test/master/api/feed-handler.test.ts"),
  },
  {
    name: "keys-cost-nothing",
    bug: "The work to decode a head does not count the keys of its maps",
    breaks: "docs/wire-protocol.md: a head is decoded only if that is little work",
    edits: [
      {
        file: "shared/wire/head-limits.ts",
        find: "work += WORK.map + WORK.key * length;",
        replace: "work += WORK.map;",
      },
    ],
    caughtBy: inTest("test/shared/wire/head-limits.test.ts"),
  },
  {
    name: "answers-without-total",
    bug: "The answers that are not read have a bound on each connection only",
    breaks: "docs/operations.md: answers that are not read",
    edits: [
      {
        file: "shared/wire/unread-answers.ts",
        find: "if (bytes > 0 && this.#bytes > this.#bytesMax) this.#closeLargest();",
        replace: "",
      },
    ],
    caughtBy: inTest("test/shared/wire/unread-answers.test.ts"),
  },
  {
    name: "answers-without-roles",
    bug: "Clients that do not read their answers close the connections of chunkservers",
    breaks: "docs/operations.md: as much for chunkservers and for masters",
    edits: [
      {
        file: "shared/wire/rpc-server.ts",
        find: "this.#answers = { client: answersOf(), chunkserver: answersOf(), master: answersOf() };",
        replace:
          "const all = answersOf();\n    this.#answers = { client: all, chunkserver: all, master: all };",
      },
    ],
    caughtBy: inTest("test/shared/wire/unread-answers.test.ts"),
  },
  {
    name: "sequences-without-window",
    bug: "A client has more changes in flight than the masters keep outcomes",
    breaks: "G4: a repeated change returns its first outcome",
    edits: [
      {
        file: "client/masters/sequence-window.ts",
        find: "return this.#next < this.first + SESSION_OUTCOMES_MAX;",
        replace: "return this.#next < this.first + 100 * SESSION_OUTCOMES_MAX;",
      },
    ],
    caughtBy: inTest("test/client/masters/master-session.test.ts"),
  },
  {
    name: "role-not-checked",
    bug: "A method accepts callers of every role",
    breaks: "docs/wire-protocol.md: WRONG_ROLE",
    edits: [
      {
        file: "shared/wire/server-connection.ts",
        find: "if (callers.includes(role)) return;",
        replace: "if (callers.length > 0) return;",
      },
    ],
    caughtBy: inTest("test/shared/wire/calls.test.ts"),
  },
  {
    name: "reports-of-another-server",
    bug: "A chunkserver may send the reports of another one",
    breaks: "docs/wire-protocol.md: a report belongs to the server of its connection",
    edits: [
      {
        file: "master/api/registrations.ts",
        find: "if (registeredId === serverId && isNewest) return;",
        replace: "if (registeredId !== undefined) return;",
      },
    ],
    caughtBy: inTest("test/master/api/registrations.test.ts"),
  },
  {
    name: "key-without-proof",
    bug: "A chunkserver registers, and gets the chunk key, without a credential or a token",
    breaks: "docs/decisions/0019: a chunkserver enrols once",
    edits: [
      {
        file: "master/api/enrolment.ts",
        find: "if (!record.isOpen && !isTokenValid",
        replace: "if (record.keys.length === 0 && !isTokenValid",
      },
    ],
    caughtBy: inCluster(3),
  },
  {
    name: "rotation-drops-the-old-key",
    bug: "The rotation of the chunk key drops the old version at once",
    breaks: "docs/decisions/0019: a version is accepted until its intents have expired",
    edits: [
      {
        file: "master/namespace/enrolment.ts",
        find: "return [...keys, { version",
        replace: "return [{ version",
      },
    ],
    caughtBy: inCluster(3),
  },
  {
    name: "key-dropped-too-early",
    bug: "A version of the chunk key is dropped when the intent floor passes its first intent",
    breaks: "docs/decisions/0019: a version is accepted until its intents have expired",
    edits: [
      {
        file: "master/namespace/enrolment.ts",
        find: "next === undefined || next.fromIndex > intentFloor",
        replace: "next === undefined || next.fromIndex > intentFloor + 1",
      },
    ],
    caughtBy: inTest("test/master/namespace/enrolment.test.ts"),
  },
];
