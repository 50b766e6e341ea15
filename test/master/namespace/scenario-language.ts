import type {
  ChunkChange,
  Command,
  NamespaceOperation,
  Outcome,
  VerifiedChunk,
} from "../../../master/namespace/command.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { InodeId, LogIndex } from "../../../shared/base/ids.ts";
import { displayName } from "../../../shared/base/path.ts";
import type { Precondition, Target } from "../../../shared/protocol/namespace-api.ts";
import {
  chunkId,
  inline,
  MIB,
  messageOf,
  OWNER,
  sealed,
  serverId,
  stagingId,
  type TestStateMachine,
} from "./harness.ts";

/**
 * The language of the scenario files: one command per line, with one or more lines of output.
 *
 *     PATH      /a/b, or #5/b below inode 5
 *     INDEX     a number, `now`, or a name that `mark` has defined
 *     CHUNKS    a,b:100,@c   "a" with 1 MiB, "b" with 100 bytes, a reference to "c"; - for none
 */
export class ScenarioLanguage {
  readonly #machine: TestStateMachine;
  readonly #marks = new Map<string, LogIndex>();

  constructor(machine: TestStateMachine) {
    this.#machine = machine;
  }

  /** Runs one line. @returns its output */
  run(line: string): string {
    const words = line.split(" ").filter(Boolean);
    const verb = words.shift() ?? "";
    try {
      const query = this.#queries[verb];
      if (query !== undefined) return query(new Words(words, this.#marks, this.#machine));
      const command = this.#commands[verb];
      if (command !== undefined) {
        const built = command(new Words(words, this.#marks, this.#machine));
        return answer(this.#machine.apply(built));
      }
      return this.#transact(line);
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      return `${error.code} ${error.message}`;
    }
  }

  /** Runs operations and preconditions ("if …"), separated by semicolons, as one transaction. */
  #transact(line: string): string {
    const operations: NamespaceOperation[] = [];
    const preconditions: Precondition[] = [];
    for (const part of line.split(";")) {
      const words = part.split(" ").filter(Boolean);
      const verb = words.shift() ?? "";
      const rest = new Words(words, this.#marks, this.#machine);
      if (verb === "if") preconditions.push(precondition(rest));
      else operations.push(operationOf(verb, rest));
    }
    return answer(this.#machine.transact(operations, preconditions));
  }

  readonly #queries: Record<string, (words: Words) => string> = {
    mark: (words) => {
      this.#marks.set(words.next(), this.#machine.index);
      return "ok";
    },
    pass: (words) => {
      this.#machine.nowMs += durationMs(words.next());
      return "ok";
    },
    "open-session": () => {
      this.#machine.openSession();
      return "ok";
    },
    "close-session": () => {
      this.#machine.closeSession();
      return "ok";
    },
    "expire-session": () => {
      const { sessionId, nowMs } = this.#machine;
      this.#machine.apply({ kind: "expire-sessions", nowMs, sessionIds: [sessionId] });
      return "ok";
    },
    staged: () => `${this.#machine.namespace.counters().stagedBytes} bytes`,
    "reclaim-all": () => {
      this.#machine.reclaimAll();
      return "ok";
    },
    stat: (words) => {
      const at = words.at();
      const attributes = this.#machine.namespace.stat(words.target(), at);
      const { kind, inode, mode, uid, storageClass } = attributes;
      const rest =
        attributes.kind === "file"
          ? `${attributes.sizeBytes} bytes, ${attributes.chunkCount} chunks`
          : `${attributes.entryCount} entries`;
      return `${kind} #${inode} mode ${mode.toString(8)} uid ${uid} class ${storageClass}: ${rest}`;
    },
    ls: (words) => {
      const at = words.at();
      const page = this.#machine.namespace.list(words.target(), { limit: 100 }, at);
      const names = page.entries.map(({ name, attributes }) => {
        return displayName(name) + (attributes.kind === "directory" ? "/" : "");
      });
      return names.join(" ") || "(empty)";
    },
    cat: (words) => {
      const at = words.at();
      const part = this.#machine.namespace.locate(
        words.target(),
        { firstPosition: 0, count: 100 },
        at,
      );
      if (part.inlineBytes !== null)
        return JSON.stringify(new TextDecoder().decode(part.inlineBytes));
      return part.chunks
        .map(
          (chunk) =>
            `${shortName(chunk.id)}:${chunk.lengthBytes} on ${chunk.replicas.map(shortName).join(",")}`,
        )
        .join("\n");
    },
    chunk: (words) => {
      const chunk = this.#machine.namespace.chunk(chunkId(words.next()));
      if (chunk === undefined) return "unknown";
      const replicas = chunk.replicas.map((replica) => shortName(replica.serverId)).join(",");
      return `${chunk.referenceCount} references, on ${replicas || "nothing"}, wants ${chunk.copiesWanted}`;
    },
    chunks: (words) => {
      const ids = this.#machine.namespace.chunksOfServer(serverId(words.next()), null, 100);
      return ids.map(shortName).join(" ") || "none";
    },
    "under-replicated": () => {
      return this.#machine.namespace.underReplicated(null, 100).map(shortName).join(" ") || "none";
    },
    purges: (words) => {
      const purges = this.#machine.namespace.purgesOf(serverId(words.next()), 100);
      return purges.map((purge) => shortName(purge.chunkId)).join(" ") || "none";
    },
    counters: () => {
      const { fileCount, directoryCount, chunkCount, logicalBytes, purgesPending } =
        this.#machine.namespace.counters();
      return `${fileCount} files, ${directoryCount} directories, ${chunkCount} chunks, ${logicalBytes} bytes, ${purgesPending} purges`;
    },
  };

  readonly #commands: Record<string, (words: Words) => Command> = {
    define: (words) => ({
      kind: "define-storage-class",
      nowMs: this.#machine.nowMs,
      attempt: this.#machine.nextAttempt(),
      storageClass: {
        name: words.next(),
        copies: Number(words.next()),
        copiesMin: Number(words.next()),
        racksMin: 1,
      },
    }),
    copied: (words) => ({
      kind: "add-replicas",
      items: [
        {
          chunkId: chunkId(words.next()),
          serverId: serverId(words.next()),
          intentIndex: words.index(),
        },
      ],
    }),
    lost: (words) => lossOf(words, { reason: "corrupt" }),
    unreadable: (words) => lossOf(words, { reason: "EIO", isUnreadable: true }),
    purged: (words) => ({
      kind: "finish-purges",
      items: [
        {
          chunkId: chunkId(words.next()),
          serverId: serverId(words.next()),
          purgeIndex: words.index(),
        },
      ],
    }),
    floor: (words) => ({ kind: "raise-intent-floor", floor: words.index() }),
    reclaim: (words) => ({
      kind: "reclaim",
      nowMs: this.#machine.nowMs,
      recordsMax: Number(words.next()),
    }),
  };
}

/** The unread words of one line. */
class Words {
  readonly #words: string[];
  readonly #marks: ReadonlyMap<string, LogIndex>;
  readonly #machine: TestStateMachine;

  constructor(words: string[], marks: ReadonlyMap<string, LogIndex>, machine: TestStateMachine) {
    this.#words = words;
    this.#marks = marks;
    this.#machine = machine;
  }

  next(): string {
    const word = this.#words.shift();
    if (word === undefined) throw new Error("Cannot run the scenario line: expected another word");
    return word;
  }

  /** Returns whether the next word is the flag. Consumes the flag. */
  flag(flag: string): boolean {
    if (this.#words[0] !== flag) return false;
    this.#words.shift();
    return true;
  }

  /** Returns the value of `name=value` anywhere in the line. Consumes the word. */
  option(name: string): string | undefined {
    const position = this.#words.findIndex((word) => word.startsWith(`${name}=`));
    return position < 0 ? undefined : this.#words.splice(position, 1)[0]?.slice(name.length + 1);
  }

  rest(): string[] {
    return this.#words.splice(0);
  }

  /** Returns the index if the next word is `@INDEX`. Consumes the word. */
  at(): LogIndex | undefined {
    if (this.#words[0]?.startsWith("@") !== true) return undefined;
    return this.indexOf(this.next().slice(1));
  }

  index(): LogIndex {
    return this.indexOf(this.next());
  }

  indexOf(word: string): LogIndex {
    if (word === "now") return this.#machine.index;
    return this.#marks.get(word) ?? (Number(word) as LogIndex);
  }

  target(): Target {
    const word = this.next();
    const [, inode, path] = /^(?:#(\d+))?(.*)$/.exec(word) ?? [];
    return {
      ...(inode === undefined ? {} : { inode: Number(inode) as InodeId }),
      ...(path === "" ? {} : { path: unescapeBytes(path ?? "") }),
    };
  }

  chunks(word: string): VerifiedChunk[] {
    const servers = (this.option("servers") ?? "s1,s2,s3").split(",");
    const intentIndex = this.indexOf(this.option("intent") ?? "now");
    const specs = word === "-" ? [] : word.split(",");
    return specs.map((spec) => {
      const [name = "", length = String(MIB)] = spec.replace("@", "").split(":");
      const isReference = spec.startsWith("@");
      const options = { lengthBytes: Number(length), intentIndex };
      return sealed(name, { ...options, servers: isReference ? [] : servers });
    });
  }
}

/** Converts a path to bytes: `\xHH` is one byte, other characters are UTF-8. */
function unescapeBytes(path: string): Uint8Array {
  const bytes: number[] = [];
  for (const part of path.split(/(\\x[0-9a-f]{2})/)) {
    if (part.startsWith("\\x")) bytes.push(Number.parseInt(part.slice(2), 16));
    else bytes.push(...new TextEncoder().encode(part));
  }
  return Uint8Array.from(bytes);
}

const OPERATIONS: Record<string, (words: Words) => NamespaceOperation> = {
  mkdir: (words) => ({
    kind: "make-directory",
    parents: words.flag("-p"),
    target: words.target(),
    ...OWNER,
    mode: 0o755,
  }),
  create: (words) => ({ kind: "create", target: words.target(), ...OWNER }),
  /** write [-n] PATH TEXT: an inline file. */
  write: (words) => ({
    kind: "put",
    replace: !words.flag("-n"),
    target: words.target(),
    content: inline(words.rest().join(" ")),
    ...OWNER,
  }),
  put: putChunks,
  commit: commitChunks,
  rename: (words) => ({
    kind: "rename",
    noReplace: words.flag("-n"),
    from: words.target(),
    to: words.target(),
  }),
  copy: (words) => ({
    kind: "copy",
    replace: !words.flag("-n"),
    preserve: words.flag("-p"),
    from: words.target(),
    to: words.target(),
    uid: 2000,
    gid: 2000,
  }),
  rm: (words) => ({ kind: words.flag("-r") ? "remove-tree" : "unlink", target: words.target() }),
  rmdir: (words) => ({ kind: "remove-directory", target: words.target() }),
  chmod: (words) => ({
    kind: "set-attributes",
    mode: Number.parseInt(words.next(), 8),
    target: words.target(),
  }),
  stage: stageChunks,
  unstage: (words) => ({ kind: "unstage", id: stagingId(words.next()) }),
  class: (words) => ({
    kind: "set-storage-class",
    storageClass: words.next(),
    target: words.target(),
  }),
};

/** Parses `put PATH CHUNKS [servers=] [intent=] [class=] [chunk-size=] [size=]`. */
function putChunks(words: Words): NamespaceOperation {
  const storageClass = words.option("class");
  const chunkSizeBytes = Number(words.option("chunk-size") ?? MIB);
  const size = words.option("size");
  const target = words.target();
  const chunks = words.chunks(words.next());
  const sum = chunks.reduce((bytes, chunk) => bytes + chunk.lengthBytes, 0);
  const content = {
    kind: "chunks",
    sizeBytes: Number(size ?? sum),
    chunkSizeBytes,
    chunks,
  } as const;
  const named = storageClass === undefined ? {} : { storageClass };
  return { kind: "put", target, content, replace: true, ...OWNER, ...named };
}

/** Parses `stage ID PATH POSITION CHUNKS [servers=] [intent=] [class=]`. */
function stageChunks(words: Words): NamespaceOperation {
  const storageClass = words.option("class");
  const id = stagingId(words.next());
  const target = words.target();
  const position = Number(words.next());
  const chunks = words.chunks(words.next());
  const named = storageClass === undefined ? {} : { storageClass };
  return { kind: "stage", id, target, position, chunks, ...named };
}

/** Parses `commit PATH OLD-SIZE NEW-SIZE POSITION:EXPECTED>CHUNK…`. EXPECTED is - past the end. */
function commitChunks(words: Words): NamespaceOperation {
  const target = words.target();
  const [sizeBytesExpected, sizeBytes] = [sizeOf(words.next()), sizeOf(words.next())];
  const changes = words.rest().map((word): ChunkChange => {
    const [, position, expected = "", chunk = ""] = /^(\d+):(\S+)>(\S+)$/.exec(word) ?? [];
    return {
      position: Number(position),
      expected: expected === "-" ? null : chunkId(expected),
      chunk: words.chunks(chunk)[0] as VerifiedChunk,
    };
  });
  return { kind: "commit-chunks", target, sizeBytesExpected, sizeBytes, changes };
}

/** Parses a size in bytes, or in MiB with the suffix "M". */
const sizeOf = (word: string): number =>
  word.endsWith("M") ? Number(word.slice(0, -1)) * MIB : Number(word);

function operationOf(verb: string, words: Words): NamespaceOperation {
  const operation = OPERATIONS[verb];
  if (operation === undefined) throw new Error(`No such scenario command: "${verb}"`);
  return operation(words);
}

function precondition(words: Words): Precondition {
  const kind = words.next();
  if (kind === "version") {
    const version = words.index();
    return { kind, version, target: words.target() };
  }
  if (kind !== "absent" && kind !== "exists") throw new Error(`No such precondition: "${kind}"`);
  return { kind, target: words.target() };
}

function answer(outcome: Outcome): string {
  if (outcome.ok) {
    const inodes = outcome.results.map(({ inode }) => (inode === null ? "-" : `#${inode}`));
    return ["ok", ...inodes].join(" ");
  }
  const at = outcome.operationIndex === null ? "" : ` (operation ${outcome.operationIndex})`;
  return `${outcome.code}${at} ${messageOf(outcome).replaceAll(/0{20,}/g, "0…")}`;
}

/** Returns the name that `chunkId` or `serverId` converted to an id. */
function shortName(id: string): string {
  const bytes = id.match(/../g) ?? [];
  return bytes
    .map((byte) => Number.parseInt(byte, 16))
    .filter((code) => code > 0)
    .map((code) => String.fromCharCode(code))
    .join("");
}

function durationMs(word: string): number {
  const unitMs = { s: 1_000, h: 3_600_000, d: 86_400_000 }[word.slice(-1)];
  if (unitMs === undefined) throw new Error(`No such duration: "${word}"`);
  return Number(word.slice(0, -1)) * unitMs;
}

function lossOf(
  words: Words,
  loss: { readonly reason: string; readonly isUnreadable?: boolean },
): Command {
  const item = { chunkId: chunkId(words.next()), serverId: serverId(words.next()), ...loss };
  return { kind: "drop-replicas", items: [item] };
}
