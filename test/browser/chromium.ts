import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { TempDirectory } from "../support/temp-directory.ts";

const COMMANDS = ["chromium", "chromium-browser", "google-chrome"];
const CALL_MS_MAX = 30_000;

/** Returns the command of an installed Chromium; null if there is none. */
export function findChromium(): string | null {
  const isInstalled = (command: string): boolean =>
    spawnSync(command, ["--version"], { stdio: "ignore" }).status === 0;
  return COMMANDS.find(isInstalled) ?? null;
}

interface Reply {
  readonly id?: number;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/**
 * A page in a headless Chromium, which is controlled by the DevTools protocol over two pipes: JSON
 * messages, each followed by a NUL.
 */
export class BrowserPage implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #profile: TempDirectory;
  readonly #pending = new Map<number, (reply: Reply) => void>();
  #session: string | undefined;
  #lastId = 0;

  private constructor(process: ChildProcess, profile: TempDirectory) {
    this.#process = process;
    this.#profile = profile;
    let text = "";
    (process.stdio[4] as Readable).setEncoding("utf8").on("data", (part: string) => {
      const messages = (text + part).split("\0");
      text = messages.pop() ?? "";
      for (const message of messages) this.#receive(JSON.parse(message));
    });
  }

  static async start(command: string): Promise<BrowserPage> {
    const profile = await TempDirectory.make();
    const process = spawn(
      command,
      [
        "--headless=new",
        "--remote-debugging-pipe",
        "--no-sandbox", // The tests may run as root.
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        `--user-data-dir=${profile.path}`,
        "about:blank",
      ],
      { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"], detached: true },
    );
    const page = new BrowserPage(process, profile);
    await page.#attach();
    return page;
  }

  /** Calls a method of the DevTools protocol. Rejects if it fails or takes 30 s. */
  async call(method: string, params: object = {}): Promise<Record<string, unknown>> {
    this.#lastId += 1;
    const id = this.#lastId;
    const replied = new Promise<Reply>((resolve) => this.#pending.set(id, resolve));
    const session = this.#session === undefined ? {} : { sessionId: this.#session };
    const message = JSON.stringify({ id, method, params, ...session });
    (this.#process.stdio[3] as Writable).write(`${message}\0`);
    const late = new AbortController();
    const timeout = sleep(CALL_MS_MAX, null, { signal: late.signal }).catch(() => null);
    const reply = await Promise.race([replied, timeout]);
    late.abort();
    if (reply === null) throw new Error(`No reply to ${method} within ${CALL_MS_MAX} ms`);
    if (reply.error !== undefined) throw new Error(`${method}: ${reply.error.message}`);
    return reply.result ?? {};
  }

  /** Opens a URL. Resolves when the page is complete. */
  async open(url: string): Promise<void> {
    await this.call("Page.navigate", { url });
    await this.until(`document.readyState === "complete" && location.href !== "about:blank"`);
  }

  /** Evaluates an expression in the page. Resolves with its value. */
  async evaluate<Value>(expression: string): Promise<Value> {
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", options);
    if (exceptionDetails !== undefined) {
      throw new Error(`Cannot evaluate ${expression}: ${JSON.stringify(exceptionDetails)}`);
    }
    return (result as { readonly value: Value }).value;
  }

  /** Polls an expression until it is true. Rejects after 30 s. */
  async until(expression: string): Promise<void> {
    for (let waits = 0; waits < 600; waits += 1) {
      // The page may be replaced while the expression is evaluated.
      if ((await this.evaluate<boolean>(expression).catch(() => false)) === true) return;
      await sleep(50);
    }
    throw new Error(`Not true within 30 s: ${expression}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#process, "exit");
    const { pid } = this.#process;
    // The browser is the leader of its own process group.
    if (this.#process.exitCode === null && pid !== undefined) process.kill(-pid, "SIGKILL");
    await exited;
    await this.#profile[Symbol.asyncDispose]();
  }

  async #attach(): Promise<void> {
    const { targetInfos } = await this.call("Target.getTargets");
    const target = (targetInfos as ReadonlyArray<{ targetId: string; type: string }>).find(
      ({ type }) => type === "page",
    );
    const options = { targetId: target?.targetId, flatten: true };
    this.#session = String((await this.call("Target.attachToTarget", options))["sessionId"]);
    await this.call("Page.enable");
  }

  #receive(reply: Reply): void {
    if (reply.id === undefined) return;
    this.#pending.get(reply.id)?.(reply);
    this.#pending.delete(reply.id);
  }
}
