import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { constants } from "node:fs";
import { mkdir, open, readFile, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { Readable } from "node:stream";
import { after, before, describe, it } from "node:test";
import { main } from "../../../../client/cli/main.ts";
import { MemoryCliEnv } from "../../../support/memory-cli-env.ts";
import { TempDirectory } from "../../../support/temp-directory.ts";
import { eventually, LoopbackCluster } from "../../support/loopback-cluster.ts";

/** Types of local files. A user can name each of them, by mistake or on purpose. */
const TYPES = [
  "fifo",
  "socket",
  "device",
  "directory",
  "dangling",
  "unreadable",
  "proc",
  "missing",
] as const;
type FileType = (typeof TYPES)[number];

/** Statuses and messages of a command for the types of files. A type without a line ends with 0. */
type Expected = Readonly<Partial<Record<FileType, readonly [status: number, message: RegExp]>>>;

/** A place where a command opens a local file. */
interface Place {
  readonly name: string;
  readonly command: (path: string) => readonly string[];
  readonly variables?: (path: string) => Readonly<Record<string, string>>;
  readonly expected: Expected;
}

const DEADLINE = 124;
const WAITS = [DEADLINE, /stopped at its deadline/] as const;
const NO_FILE = /no such file or directory/i;

/** A file that says what to do: everything that can be read is read. */
const INPUT: Expected = {
  fifo: WAITS,
  socket: [2, /a socket/],
  directory: [2, /is a directory/],
  dangling: [2, NO_FILE],
  unreadable: [2, /input\/output error/],
  missing: [2, NO_FILE],
};

const PLACES: readonly Place[] = [
  {
    name: "the source of put",
    command: (path) => ["put", "--force", path, "/put"],
    expected: {
      fifo: WAITS,
      socket: [2, /a socket/],
      directory: [6, /is a directory/i],
      dangling: [3, NO_FILE],
      unreadable: [1, /input\/output error/],
      missing: [3, NO_FILE],
    },
  },
  {
    name: "--files-from",
    command: (path) => ["put", "--dry-run", "--files-from", path, "/"],
    // The text of /proc/version is not the name of a file.
    expected: { ...INPUT, proc: [3, NO_FILE] },
  },
  {
    name: "checksum --check",
    command: (path) => ["checksum", "--check", path],
    expected: { ...INPUT, proc: [2, /Cannot read a line/] },
  },
  {
    name: "txn",
    command: (path) => ["txn", path],
    expected: { ...INPUT, device: [2, /./], proc: [2, /./] },
  },
  {
    name: "backup --verify",
    command: (path) => ["backup", "--verify", path],
    expected: {
      fifo: [2, /not a regular file/],
      socket: [2, /a socket/],
      device: [2, /not a regular file/],
      directory: [2, /is a directory/],
      dangling: [2, NO_FILE],
      unreadable: [1, /./],
      proc: [2, /./],
      missing: [2, NO_FILE],
    },
  },
  {
    name: "the config file",
    command: () => ["config", "show"],
    variables: (path) => ({ ASHLAR_CONFIG: path }),
    expected: {
      fifo: [2, /not a regular file/],
      socket: [2, /./],
      directory: [2, /is a directory/],
      unreadable: [2, /./],
      proc: [2, /./],
    },
  },
  {
    name: "the file of a local cluster",
    command: (path) => ["--cluster", `${path}.cluster`, "ls", "/"],
    expected: {
      fifo: [2, /not a regular file/],
      socket: [2, /./],
      device: [2, /./],
      directory: [2, /is a directory/],
      dangling: [3, /./],
      unreadable: [2, /./],
      proc: [2, /./],
      missing: [3, /./],
    },
  },
  {
    name: "the target of get",
    command: (path) => ["get", "--force", "/file", path],
    expected: {
      fifo: WAITS,
      socket: [2, /a socket/],
      unreadable: [3, NO_FILE],
      proc: [3, NO_FILE],
    },
  },
];

describe("local files that block", () => {
  let cluster: LoopbackCluster;
  let temporary: TempDirectory;
  let socket: Server;
  before(async () => {
    cluster = await LoopbackCluster.start(0);
    temporary = await TempDirectory.make();
    const fileSystem = await cluster.connect();
    await fileSystem.writeFile("/file", "content");
    const { path } = temporary;
    execFileSync("mkfifo", [`${path}/fifo`]);
    socket = createServer().listen(`${path}/socket`);
    await symlink("/dev/null", `${path}/device`);
    await mkdir(`${path}/directory`);
    await symlink("nowhere", `${path}/dangling`);
    await symlink("/proc/self/mem", `${path}/unreadable`);
    await symlink("/proc/version", `${path}/proc`);
    for (const type of TYPES) {
      await mkdir(`${path}/${type}.cluster`);
      await symlink(`../${type}`, `${path}/${type}.cluster/cluster.json`);
    }
  });
  after(async () => {
    socket.close();
    await cluster[Symbol.asyncDispose]();
    await temporary[Symbol.asyncDispose]();
  });

  const start = (
    commandLine: readonly string[],
    options: ConstructorParameters<typeof MemoryCliEnv>[0] = {},
  ): { readonly env: MemoryCliEnv; readonly ended: Promise<number> } => {
    const variables = { ASHLAR_CLUSTER: cluster.masterAddresses.join(","), ...options.variables };
    const env = new MemoryCliEnv({ ...options, workingDirectory: temporary.path, variables });
    return { env, ended: main(commandLine, env) };
  };

  for (const place of PLACES) {
    it(`neither hold up nor confuse ${place.name}`, async () => {
      for (const type of TYPES) {
        // A get to a missing or a dangling name makes it.
        const path = `${temporary.path}/${type}`;
        const variables = place.variables?.(path) ?? {};
        const command = ["--deadline", "1s", ...place.command(path)];
        const { env, ended } = start(command, { variables });
        const status = await ended;
        const [expected, message] = place.expected[type] ?? [0, /(?:)/];
        const stderr = env.stderr.text();
        assert.equal(status, expected, `${place.name}: ${type}: ${stderr}`);
        assert.match(stderr, message, `${place.name}: ${type}`);
      }
    });
  }

  it("do not keep a command from ending by a signal", async () => {
    const waiting = [
      ["put", "fifo", "/fifo"],
      ["put", "-", "/stdin"],
      ["get", "/file", "fifo"],
      ["put", "--files-from", "fifo", "/"],
      ["put", "--files-from", "-", "/"],
      ["txn", "-"],
      ["checksum", "--check", "-"],
    ];
    for (const [signal, status] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
    ] as const) {
      for (const command of waiting) {
        const silent = new Readable({ read: () => {} });
        const { env, ended } = start(command, { input: silent });
        await eventually("the command listens", () => env.signals.listenerCount(signal) > 0);
        const timer = setTimeout(() => env.signals.emit(signal), 100);
        assert.equal(await ended, status, command.join(" "));
        clearTimeout(timer);
      }
    }
  });

  it("are read and written to their end when the other side comes late", async () => {
    const put = start(["put", "fifo", "/from-fifo"]);
    const path = `${temporary.path}/fifo`;
    await writeFile(path, "through a FIFO");
    assert.equal(await put.ended, 0, put.env.stderr.text());
    const get = start(["get", "/from-fifo", "fifo"]);
    assert.equal(await readFile(path, "utf8"), "through a FIFO");
    assert.equal(await get.ended, 0, get.env.stderr.text());
  });

  it("are stored with what can be read from them: /proc and devices", async () => {
    for (const [source, expected] of [
      ["/proc/version", await readFile("/proc/version", "utf8")],
      ["/sys/kernel/mm/transparent_hugepage/enabled", null],
      ["/dev/null", ""],
    ] as const) {
      const put = start(["put", "--force", source, "/special"]);
      assert.equal(await put.ended, 0, put.env.stderr.text());
      const cat = start(["cat", "/special"]);
      assert.equal(await cat.ended, 0);
      assert.equal(cat.env.stdout.text(), expected ?? (await readFile(source, "utf8")));
    }
  });

  it("include a standard input that is closed, which no command takes for an empty one", async () => {
    for (const command of [
      ["put", "--force", "-", "/file"],
      ["put", "--files-from", "-", "/"],
      ["txn", "-"],
      ["checksum", "--check", "-"],
    ]) {
      const { env, ended } = start(command, { hasStdin: false });
      assert.equal(await ended, 2, command.join(" "));
      assert.match(env.stderr.text(), /Cannot read standard input/);
    }
    const cat = start(["cat", "/file"]);
    assert.equal(await cat.ended, 0);
    assert.equal(cat.env.stdout.text(), "content");
  });

  it("end at the deadline also if the FIFO has a writer that is silent", async () => {
    const path = `${temporary.path}/fifo`;
    const writer = await open(path, constants.O_RDWR | constants.O_NONBLOCK);
    try {
      const { env, ended } = start(["--deadline", "300ms", "put", "fifo", "/silent"]);
      assert.equal(await ended, DEADLINE, env.stderr.text());
    } finally {
      await writer.close();
    }
  });
});
