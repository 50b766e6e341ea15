import type { ChangeOperation, OperationKind } from "../../../../master/raft/membership-change.ts";
import type { MemberId } from "../../../../shared/base/ids.ts";
import type { Argument, Directive } from "./parse-scenario.ts";

/** The arguments without a value that are numbers: members, mostly. */
export function idsOf(directive: Directive): readonly MemberId[] {
  return directive.arguments
    .filter((argument) => argument.values.length === 0)
    .map((argument) => toInteger(argument.key) as MemberId);
}

export function firstId(directive: Directive): MemberId {
  return toInteger(argumentAt(directive, 0).key) as MemberId;
}

export function valuesOf(directive: Directive, key: string): readonly string[] {
  return directive.arguments.find((argument) => argument.key === key)?.values ?? [];
}

export function firstValueOf(directive: Directive, key: string): string | undefined {
  return valuesOf(directive, key)[0];
}

export function hasKey(directive: Directive, key: string): boolean {
  return directive.arguments.some((argument) => argument.key === key);
}

/** Members in a list, e.g. `voters=(1,2,3)`. */
export function membersIn(directive: Directive, key: string): readonly MemberId[] {
  return valuesOf(directive, key).map((value) => toInteger(value) as MemberId);
}

export function isTrue(directive: Directive, key: string): boolean {
  return firstValueOf(directive, key) === "true";
}

export function integerIn(directive: Directive, key: string): number | undefined {
  const value = firstValueOf(directive, key);
  return value === undefined ? undefined : toInteger(value);
}

export function toInteger(text: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`"${text}" is not a number`);
  return Number(text);
}

export function argumentAt(directive: Directive, place: number): Argument {
  const argument = directive.arguments[place];
  if (argument === undefined) throw new Error(`Line ${directive.line} lacks an argument`);
  return argument;
}

const OPERATION_KINDS: Readonly<Record<string, OperationKind>> = {
  v: "add-voter",
  l: "add-learner",
  r: "remove",
  u: "update",
};

/** `v2 l3 r4`: make 2 a voter, 3 a learner, remove 4; `u5` updates 5. */
export function parseOperations(input: string): readonly ChangeOperation[] {
  const words = input.split(/\s+/).filter((word) => word !== "");
  return words.map((word) => {
    const kind = OPERATION_KINDS[word.charAt(0)];
    if (kind === undefined) throw new Error(`"${word}" is no membership operation`);
    return { kind, memberId: toInteger(word.slice(1)) as MemberId };
  });
}
