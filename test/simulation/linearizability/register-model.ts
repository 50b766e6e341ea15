import type { SequentialModel } from "./history.ts";

/** An operation on a register, which has one number. */
export type RegisterInput =
  | { readonly kind: "write"; readonly value: number }
  | { readonly kind: "read" };

/** The value of a read, or the confirmation of a write. */
export type RegisterOutput = number | "done";

/** The model of a register. Its initial value is 0. */
export const registerModel: SequentialModel<number, RegisterInput, RegisterOutput> = {
  start: () => 0,
  step(state, input, output) {
    if (input.kind === "write") return input.value;
    return output === null || output === state ? state : null;
  },
  keyOf: String,
  describeState: String,
  describe(input, output) {
    const request = input.kind === "write" ? `write ${input.value}` : "read";
    return `${request} → ${output ?? "?"}`;
  },
  isRead: (input) => input.kind === "read",
};
