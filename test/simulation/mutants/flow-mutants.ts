import { inFlow, inTest, type Mutant } from "./mutant.ts";

const ADMISSION = inTest("test/chunkserver/pipeline/write-admission.test.ts");
const CREDIT = inTest("test/shared/wire/connection-credit.test.ts");

/** Bugs of the flow control and of the admission of writes and reads. */
export const FLOW_MUTANTS: readonly Mutant[] = [
  {
    name: "own-window-for-sending",
    bug: "A sender uses the smaller of the two windows of a connection",
    breaks: "docs/decisions/0026: an admitted write has credit on every server",
    edits: [
      {
        file: "shared/wire/connection-credit.ts",
        find: "this.#sendWindowBytes = peerWindowBytes;\n    this.#sendBytes = peerWindowBytes;",
        replace:
          "this.#sendWindowBytes = Math.min(peerWindowBytes, this.#options.receiveWindowBytes);\n    this.#sendBytes = this.#sendWindowBytes;",
      },
    ],
    caughtBy: CREDIT,
  },
  {
    name: "credit-of-closed-stream-kept",
    bug: "The credit of closed streams is returned in steps that may exceed the window of the sender",
    breaks: "docs/decisions/0026: a closed stream keeps no credit",
    edits: [
      {
        file: "shared/wire/connection-credit.ts",
        find: "Math.min(ORPHANED_BYTES_MAX, receiveWindowBytes / 4)",
        replace: "Math.max(ORPHANED_BYTES_MAX, receiveWindowBytes / 8)",
      },
    ],
    caughtBy: CREDIT,
  },
  {
    name: "same-memory-for-all-hops",
    bug: "Writes may take all memory, however many servers of their chain come later",
    breaks: "docs/decisions/0026: writes do not wait in a circle",
    edits: [
      {
        file: "chunkserver/pipeline/write-admission.ts",
        find: "this.#limits = CLASSES.map((hops) => limitOf(hops, this.bytesMax));",
        replace: "this.#limits = CLASSES.map(() => limitOf(0, this.bytesMax));",
      },
    ],
    caughtBy: inFlow(3),
  },
  {
    name: "unfair-queue",
    bug: "A source keeps its place in the queue after it was served",
    breaks: "docs/decisions/0026: the connections are served in turn",
    edits: [
      {
        file: "shared/flow/fair-queue.ts",
        find: "        this.#sources.delete(source);\n        if (items.size > 0) this.#sources.set(source, items);\n",
        replace: "",
      },
    ],
    caughtBy: ADMISSION,
  },
  {
    name: "admission-without-timeout",
    bug: "A write that waits for memory is never refused",
    breaks: "docs/decisions/0026: every wait has a deadline",
    edits: [
      {
        file: "chunkserver/pipeline/write-admission.ts",
        find: "() => end(this.#refusal()));",
        replace: "() => {});",
      },
    ],
    caughtBy: ADMISSION,
  },
  {
    name: "idle-writer-keeps-memory",
    bug: "An idle writer keeps its memory while others wait",
    breaks: "docs/decisions/0026: idle writers do not lock out others",
    edits: [
      {
        file: "chunkserver/pipeline/write-admission.ts",
        find: "for (const write of idle.slice(0, this.waitingCount)) write.revoke();",
        replace: "for (const write of idle.slice(this.waitingCount)) write.revoke();",
      },
    ],
    caughtBy: ADMISSION,
  },
  {
    name: "read-memory-before-room",
    bug: "A read takes memory before its peer has room, and keeps it until then",
    breaks: "docs/decisions/0026: a peer that does not receive holds no memory",
    edits: [
      {
        file: "chunkserver/pipeline/frame-sender.ts",
        find: "      await stream.room(0);\n",
        replace: "",
      },
      {
        file: "chunkserver/pipeline/frame-sender.ts",
        find: "      if (!stream.hasRoom(this.#loadingBytes)) return;\n",
        replace: "",
      },
    ],
    caughtBy: inTest("test/chunkserver/flow-control.test.ts"),
  },
  {
    name: "large-reads-take-the-reserve",
    bug: "Large reads use the memory of the small ones",
    breaks: "docs/decisions/0026: small reads never wait for large ones",
    edits: [
      {
        file: "chunkserver/pipeline/read-memory.ts",
        find: "return lengthBytes <= SMALL_BYTES_MAX ? this.small : this.large;",
        replace: "return lengthBytes >= 0 ? this.large : this.small;",
      },
    ],
    caughtBy: inTest("test/chunkserver/pipeline/read-memory.test.ts"),
  },
  {
    name: "early-bodies-not-counted",
    bug: "Bodies that arrive before their handler receives are not counted",
    breaks: "docs/decisions/0026: bytes of waiting writes take no memory of admitted ones",
    edits: [
      {
        file: "shared/wire/stream.ts",
        find: "if (earlyBodies === null || this.#receiver.hasReader) return COVERED_BODY;",
        replace: "if (earlyBodies === null || bodyLength > 0) return COVERED_BODY;",
      },
    ],
    caughtBy: inTest("test/shared/wire/early-bodies.test.ts"),
  },
  {
    name: "one-pool-for-all-frames",
    bug: "The frames of chunks that wait for servers take the memory of those that do not",
    breaks: "docs/decisions/0026: an admitted chunk does not wait for memory of one that waits",
    edits: [
      {
        file: "client/write/upload-frames.ts",
        find: "isFirst ? this.#slabs.first : this.#slabs.next;",
        replace: "isFirst ? this.#slabs.next : this.#slabs.next;",
      },
    ],
    caughtBy: inTest("test/client/write/upload-frames.test.ts"),
  },
  {
    name: "no-room-after-a-wait",
    bug: "A connection that waits for its turn offers its whole buffer for the next read",
    breaks: "shared/ports/network.ts: the array for the next bytes is not empty",
    edits: [
      {
        file: "shared/wire/frame-reader.ts",
        find: "Math.max(spareAt, this.#end + STAGING_SPARE_BYTES)",
        replace: "this.#isWaiting ? undefined : spareAt",
      },
    ],
    caughtBy: inTest("test/shared/wire/frame-reader.test.ts"),
  },
];
