import { InteractionScenario } from "./interaction-scenario.ts";
import { MembershipScenario } from "./membership-scenario.ts";
import { parseScenario, rewriteScenario } from "./parse-scenario.ts";
import { QuorumScenario } from "./quorum-scenario.ts";

/** What a scenario is about; upstream has a folder for each. */
export type ScenarioKind = "interaction" | "confchange" | "quorum";

export interface ScenarioFailure {
  /** Line of the directive, from 1. */
  readonly line: number;
  readonly directive: string;
  readonly expected: string;
  readonly actual: string;
}

export interface ScenarioRun {
  readonly directiveCount: number;
  /** The first one; what comes after a difference differs as well. */
  readonly failure: ScenarioFailure | null;
  /** The file as it would be if what came out was what is wanted. */
  readonly rewritten: string;
}

const LOG_LINE = /^\s*(DEBUG|INFO|WARN|ERROR|FATAL) .*\n/gm;

/**
 * Runs a scenario and compares what it prints.
 *
 * Lines that only the library's log would print are left out of the comparison: our core has none,
 * and what is left is the protocol.
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

/** A directive that throws has failed, but the others of its file are still compared. */
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
