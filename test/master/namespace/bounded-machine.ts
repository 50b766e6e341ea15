import type { NamespaceOperation } from "../../../master/namespace/command.ts";
import { FEATURE_LEVEL_COST } from "../../../master/namespace/feature-levels.ts";
import { assertOk, at, chunksContent, OWNER, sealed, TestStateMachine } from "./harness.ts";

/** Returns a state machine at the level that bounds costs, with a directory `/d`. */
export async function boundedMachine(): Promise<TestStateMachine> {
  const machine = await TestStateMachine.make();
  boundCost(machine);
  machine.run(makeDirectory("/d"));
  return machine;
}

export function boundCost(machine: TestStateMachine): void {
  assertOk(machine.apply({ kind: "raise-feature-level", level: FEATURE_LEVEL_COST }));
}

export function makeDirectory(path: string, parents = false): NamespaceOperation {
  return { kind: "make-directory", target: at(path), parents, ...OWNER };
}

export const create = (path: string): NamespaceOperation => ({
  kind: "create",
  target: at(path),
  ...OWNER,
});
export const chunksNamed = (count: number, prefix: string) =>
  Array.from({ length: count }, (_, number) => sealed(`${prefix}${number}`));

export const put = (
  path: string,
  chunks: readonly ReturnType<typeof sealed>[],
): NamespaceOperation => ({
  kind: "put",
  target: at(path),
  content: chunksContent(...chunks),
  replace: true,
  ...OWNER,
});
