import { InteractionScenario } from "./interaction-scenario.ts";
import { MembershipScenario } from "./membership-scenario.ts";
import { parseScenario, rewriteScenario } from "./parse-scenario.ts";
import { QuorumScenario } from "./quorum-scenario.ts";

/** Kind of a scenario; upstream has one folder for each. */
export type ScenarioKind = "interaction" | "confchange" | "quorum";

/** A directive whose output differs from the expected one. */
export interface ScenarioFailure {
  /** Line number of the directive, starting at 1. */
  readonly line: number;
  readonly directive: string;
  readonly expected: string;
  readonly actual: string;
}

/** Result of running a scenario. */
export interface ScenarioRun {
  readonly directiveCount: number;
  /** The first failure only: later outputs usually differ as a consequence. */
  readonly failure: ScenarioFailure | null;
  /** The file with the actual outputs as expected outputs. */
  readonly rewritten: string;
}

const LOG_LINE = /^\s*(DEBUG|INFO|WARN|ERROR|FATAL) .*\n/gm;

/**
 * Runs a scenario and compares its output with the expected output.
 *
 * Log lines of upstream's library are ignored: this core writes no log. The rest of the output
 * describes the protocol.
 */
export function runScenario(kind: ScenarioKind, text: string): ScenarioRun {
  const scenario = createScenario(kind);
  const directives = parseScenario(text);
  const outputs: string[] = [];
  let failure: ScenarioFailure | null = null;
  for (const directive of directives) {
    const actual = withLineFeed(handleSafely(scenario, directive));
    outputs.push(actual);
    const expected = directive.expected.replace(LOG_LINE, "");
    const isEqual = actual === (expected === "" ? "ok\n" : expected);
    if (isEqual || failure !== null) continue;
    const { line, command } = directive;
    failure = { line, directive: command, expected, actual };
  }
  const rewritten = rewriteScenario(text, directives, outputs);
  return { directiveCount: directives.length, failure, rewritten };
}

type Scenario = InteractionScenario | MembershipScenario | QuorumScenario;

function createScenario(kind: ScenarioKind): Scenario {
  switch (kind) {
    case "interaction":
      return new InteractionScenario();
    case "confchange":
      return new MembershipScenario();
    case "quorum":
      return new QuorumScenario();
  }
}

/** Executes a directive. An exception is its output, so that later directives still run. */
function handleSafely(
  scenario: Scenario,
  directive: ReturnType<typeof parseScenario>[number],
): string {
  try {
    return scenario.handle(directive);
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}

function withLineFeed(text: string): string {
  return text.endsWith("\n") ? text : `${text}\n`;
}
