import type { FileSystem } from "../file-system.ts";
import type { CliEnv } from "./cli-env.ts";
import type { Output } from "./output.ts";
import type { Settings } from "./settings.ts";
import type { OnClosedOutput } from "./stdout-writer.ts";
import type { WaitLine } from "./wait-line.ts";

/** Context of a command, in addition to its own arguments and options. */
export interface CommandContext {
  readonly env: CliEnv;
  readonly output: Output;
  /** Names what the command waits for. A terminal shows it after 2 s without output. */
  readonly waits: WaitLine;
  /**
   * Aborts on Ctrl-C, on SIGTERM, at --deadline, and when stdout has no reader left and the command
   * only prints.
   */
  readonly signal: AbortSignal;
  /** Timeout of one call to the cluster: the setting `timeout`. */
  readonly timeoutMs: number;
  /** Connects on first use. The runner disposes the connection. @throws {AshlarError} */
  fileSystem(): Promise<FileSystem>;
  /**
   * Runs `task` with the file system. If the masters cannot serve it, at the start or later, the
   * attempt rejects early with the state of each master, as `MastersWatch` does, and the command
   * continues. Attempts do not overlap.
   */
  attempt<Result>(
    task: (fileSystem: FileSystem, signal: AbortSignal) => Promise<Result>,
  ): Promise<Result>;
  /** The directory in the setting `cluster`; null if the setting is empty or a list of masters. */
  clusterDirectory(): Promise<string | null>;
  readonly settings: Settings;
  /** All commands of the CLI, for `completion`. */
  readonly commands: readonly CommandDefinition[];
}

/**
 * Kind of a value on the command line. Shell completion offers values of this kind.
 *
 * - `remote-path`: a path in the cluster
 * - `local-path`, `local-directory`: a path on this machine
 * - `marked-path`: a path in the cluster if it begins with `ashlar:`, else on this machine
 * - `node`: the name of a node of a local cluster
 * - `cluster`: a name of `cluster list`
 * - `cluster-address`: a name of `cluster list`, a directory, or addresses of masters
 * - `number`, `text`: nothing to offer
 * - an array: one of these words
 */
export type ValueKind =
  | "remote-path"
  | "local-path"
  | "local-directory"
  | "marked-path"
  | "node"
  | "cluster"
  | "cluster-address"
  | "number"
  | "text"
  | readonly string[];

/** The kind of one argument. The last argument is the target of a transfer, all others are sources. */
export type ArgumentKind = ValueKind | { readonly source: ValueKind; readonly target: ValueKind };

/** Values of options as commander parses them, by camelCase name. */
export type OptionValues = Readonly<Record<string, unknown>>;

/** The body of a command. It throws for every exit status but 0: see `exitStatusOf`. */
export type RunCommand = (
  context: CommandContext,
  commandArguments: readonly string[],
  options: OptionValues,
) => Promise<void>;

/** One option of a command. */
export interface OptionDefinition {
  /** The flags in the notation of commander: "-p, --parents", "--limit <count>". */
  readonly flags: string;
  readonly description: string;
  readonly default?: string | number | boolean;
  /** The default as --help shows it: "30s" for 30,000 ms. */
  readonly defaultText?: string;
  /** Parses the text. @throws {AshlarError} INVALID_ARGUMENT */
  readonly parse?: (text: string) => unknown;
  readonly choices?: readonly string[];
  /** Kind of the value. Every option with a value has this or `choices`. */
  readonly valueKind?: ValueKind;
  /** The option gives the sources of a transfer: the only argument is the target. */
  readonly givesSources?: boolean;
  /** The value is the number of times that the option is given. */
  readonly isCounted?: boolean;
  /** The option can be given several times; its value is an array. */
  readonly isRepeated?: boolean;
}

/** Returns the arguments of a command in the form that commander parses. */
export type RewriteArguments = (
  commandArguments: readonly string[],
  options: readonly OptionDefinition[],
) => string[];

/**
 * One command without its implementation, which `load` imports: every start of the CLI reads the
 * table of all commands.
 */
export interface CommandDefinition {
  /** "ls", or "cluster up" for a command of a group. */
  readonly name: string;
  readonly summary: string;
  /** The arguments in the notation of commander: "<source...> <target>". */
  readonly arguments?: string;
  /** Kinds of the arguments, in their order. The last kind is that of all further arguments. */
  readonly argumentKinds?: readonly ArgumentKind[];
  /** Shown instead of `arguments` where commander has no notation for them. */
  readonly usage?: string;
  readonly options?: readonly OptionDefinition[];
  /** Pairs of a command line and its explanation. --help shows them before the options. */
  readonly examples: readonly (readonly [string, string])[];
  /** Accepts a notation of another tool that commander has no support for. */
  readonly rewrite?: RewriteArguments;
  /** Activity of the command while it is silent and no wait is known. Default: "working". */
  readonly idle?: string;
  /**
   * Effect of a closed stdout on the command: `stop` for a command that only prints, `continue` for
   * one that changes something or whose exit status is a result. It can depend on the options.
   */
  readonly onClosedOutput: OnClosedOutput | ((options: OptionValues) => OnClosedOutput);
  readonly load: () => Promise<{ readonly run: RunCommand }>;
}
