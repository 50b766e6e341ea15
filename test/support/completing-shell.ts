import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { bytesOfText, textOfBytes } from "../../client/cli/argument-text.ts";
import { TempDirectory } from "./temp-directory.ts";

/** Answers the hidden command of the completion scripts. */
export type Complete = (commandArguments: readonly string[]) => Promise<Uint8Array>;

/** Returns the parts of `bytes` that end with NUL, in the form of `textOfBytes`. */
export function splitRecords(bytes: Uint8Array): string[] {
  const records: string[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0, start);
    records.push(textOfBytes(bytes.subarray(start, end)));
    start = end + 1;
  }
  return records;
}

/**
 * Interactive shells with a command `ashlar` that is answered by the process of the test: a process
 * for each Tab would take 0.4 CPU-seconds. Every other command only records its arguments.
 */
export class CompletingShell implements AsyncDisposable {
  readonly #server: Server;
  readonly #directory: TempDirectory;

  readonly #command: string;

  private constructor(server: Server, directory: TempDirectory, command: string) {
    this.#server = server;
    this.#directory = directory;
    this.#command = command;
  }

  static async start(complete: Complete): Promise<CompletingShell> {
    const server = createServer((socket) => void answer(socket, complete));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const directory = await TempDirectory.make();
    const { port } = server.address() as AddressInfo;
    const command = join(directory.path, "ashlar");
    const script = commandOf(port, join(directory.path, "recorded"));
    await writeFile(command, `#!/bin/bash\n${script}`);
    await chmod(command, 0o755);
    return new CompletingShell(server, directory, script);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await this.#directory[Symbol.asyncDispose]();
  }

  /** The directory of the command `ashlar`. */
  get path(): string {
    return this.#directory.path;
  }

  /**
   * Types `keys` into an interactive bash, which reads them with readline also without a terminal.
   *
   * @returns the arguments of each `ashlar` command, in the form of `textOfBytes`
   */
  async typeIntoBash(
    keys: string,
    { script, workingDirectory }: { readonly script: string; readonly workingDirectory: string },
  ): Promise<string[][]> {
    const startFile = join(this.path, "bashrc");
    // A function needs no process.
    await writeFile(startFile, `${script}\nashlar() {\n${this.#command}\n}`);
    await writeFile(join(this.path, "recorded"), "");
    const child = spawn("bash", ["--noprofile", "--rcfile", startFile, "-i"], {
      cwd: workingDirectory,
      env: this.#environment(),
      stdio: ["pipe", "ignore", "ignore"],
    });
    child.stdin.end(bytesOfText(keys));
    const [status] = await once(child, "close");
    assert.equal(status, 0);
    return this.recorded();
  }

  /**
   * As `typeIntoBash`, for zsh, which needs a terminal: another zsh makes one (zsh/zpty). The keys of
   * each line end with Enter.
   */
  async typeIntoZsh(
    lines: readonly string[],
    { script, workingDirectory }: { readonly script: string; readonly workingDirectory: string },
  ): Promise<string[][]> {
    const [startFile, recordFile] = [join(this.path, "zshrc"), join(this.path, "recorded")];
    await writeFile(startFile, `autoload -Uz compinit; compinit -D -u; ${script}`);
    await writeFile(recordFile, "");
    // A line that is not recorded within 10 s was not completed to a command.
    const driver = `
      zmodload zsh/zpty zsh/zselect zsh/stat
      zpty shell zsh -f -i
      zpty -w shell 'PS1=; source ${startFile}; print -n REA; print DY'
      zpty -r -m shell out '*READY*'
      for line; do
        zstat -A before +size ${recordFile}
        zpty -w -n shell "$line"
        for (( turn = 0; turn < 500; turn += 1 )) {
          zstat -A after +size ${recordFile}
          (( after > before )) && break
          zpty -r -t shell out
          zselect -t 2
        }
        (( turn < 500 )) || { print -ru2 -- "$line: $out"; exit 1 }
      done
      zpty -d shell`;
    const child = spawn("zsh", ["-f", "-c", driver, "zsh", ...lines], {
      cwd: workingDirectory,
      env: this.#environment(),
      stdio: ["ignore", "ignore", "inherit"],
    });
    const [status] = await once(child, "close");
    assert.equal(status, 0);
    return this.recorded();
  }

  /** Returns the candidates that fish shows for a line. */
  async candidatesInFish(line: string, script: string): Promise<string[]> {
    const startFile = join(this.path, "config.fish");
    await writeFile(startFile, script);
    const child = spawn(
      "fish",
      ["--no-config", "-c", `source ${startFile}; complete -C $argv[1]`, line],
      {
        env: this.#environment(),
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    return (await text(child.stdout)).split("\n").filter((candidate) => candidate !== "");
  }

  /** Returns the arguments of each `ashlar` command, in the form of `textOfBytes`. */
  async recorded(): Promise<string[][]> {
    const records = splitRecords(await readFile(join(this.path, "recorded")));
    const commands: string[][] = [];
    for (let start = 0; start < records.length; ) {
      const end = start + 1 + Number(records[start]);
      commands.push(records.slice(start + 1, end));
      start = end;
    }
    return commands;
  }

  #environment(): NodeJS.ProcessEnv {
    const { PATH = "" } = process.env;
    // No history, and no key bindings of the user who runs the tests.
    const quiet = { HISTFILE: "", INPUTRC: "/dev/null", PS1: "", TERM: "dumb" };
    return { PATH: `${this.path}:${PATH}`, HOME: this.path, LC_ALL: "C.UTF-8", ...quiet };
  }
}

/** Returns the script of the command `ashlar`, for bash. */
function commandOf(port: number, recordFile: string): string {
  return `if [[ $1 == __complete ]]; then
  exec 9<>/dev/tcp/127.0.0.1/${port}
  printf '%s\\0' $(($# - 1)) "\${@:2}" >&9
  cat <&9
  exec 9>&-
else
  printf '%s\\0' $# "$@" >>'${recordFile}'
fi
`;
}

/** Answers one command: the number of its arguments, and the arguments. */
async function answer(socket: Socket, complete: Complete): Promise<void> {
  socket.on("error", () => {}); // The shell was stopped.
  let received = Buffer.alloc(0);
  for await (const bytes of socket.iterator({ destroyOnReturn: false })) {
    received = Buffer.concat([received, bytes as Buffer]);
    const [count, ...commandArguments] = splitRecords(
      received.subarray(0, received.lastIndexOf(0) + 1),
    );
    if (count === undefined || commandArguments.length < Number(count)) continue;
    socket.end(await complete(commandArguments).catch(() => ""));
    return;
  }
}
