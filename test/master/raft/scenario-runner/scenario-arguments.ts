import type { ChangeOperation, OperationKind } from "../../../../master/raft/membership-change.ts";
import type { MemberId } from "../../../../shared/base/ids.ts";
import type { Argument, Directive } from "./parse-scenario.ts";

/** Returns the arguments without a value, which are member ids. */
export function idsOf(directive: Directive): readonly MemberId[] {
  return directive.arguments
    .filter((argument) => argument.values.length === 0)
    .map((argument) => toInteger(argument.key) as MemberId);
}

/** Returns the first argument as a member id. */
export function firstId(directive: Directive): MemberId {
  return toInteger(argumentAt(directive, 0).key) as MemberId;
}

/** Returns all values of `key`; empty if it is absent. */
export function valuesOf(directive: Directive, key: string): readonly string[] {
  return directive.arguments.find((argument) => argument.key === key)?.values ?? [];
}

/** Returns the first value of `key`. */
export function firstValueOf(directive: Directive, key: string): string | undefined {
  return valuesOf(directive, key)[0];
}

/** Returns whether the directive has the argument `key`. */
export function hasKey(directive: Directive, key: string): boolean {
  return directive.arguments.some((argument) => argument.key === key);
}

/** Returns the members in a list, e.g. `voters=(1,2,3)`. */
export function membersIn(directive: Directive, key: string): readonly MemberId[] {
  return valuesOf(directive, key).map((value) => toInteger(value) as MemberId);
}

/** Returns whether the directive has the argument `key=true`. */
export function isTrue(directive: Directive, key: string): boolean {
  return firstValueOf(directive, key) === "true";
}

/** Returns the value of `key` as an integer. */
export function integerIn(directive: Directive, key: string): number | undefined {
  const value = firstValueOf(directive, key);
  return value === undefined ? undefined : toInteger(value);
}

/** Parses an unsigned integer. */
export function toInteger(text: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`"${text}" is not a number`);
  return Number(text);
}

/** Returns the argument at `index`, starting at 0. */
export function argumentAt(directive: Directive, index: number): Argument {
  const argument = directive.arguments[index];
  if (argument === undefined) throw new Error(`Line ${directive.line} has too few arguments`);
  return argument;
}

const OPERATION_KINDS: Readonly<Record<string, OperationKind>> = {
  v: "add-voter",
  l: "add-learner",
  r: "remove",
  u: "update",
};

/** Parses e.g. `v2 l3 r4 u5`: make 2 a voter, make 3 a learner, remove 4, update 5. */
export function parseOperations(input: string): readonly ChangeOperation[] {
  const words = input.split(/\s+/).filter((word) => word !== "");
  return words.map((word) => {
    const kind = OPERATION_KINDS[word.charAt(0)];
    if (kind === undefined) throw new Error(`"${word}" is not a membership operation`);
    return { kind, memberId: toInteger(word.slice(1)) as MemberId };
  });
}
