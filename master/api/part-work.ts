import type { CallContext } from "../../shared/wire/rpc.ts";

/** Divides the work of a call into parts: see `CallContext.turn`. */
export class PartWork {
  readonly #context: Pick<CallContext, "turn">;
  readonly #unitsMax: number;
  #units = 0;

  /** @param unitsMax units of a part, after which the next one begins. They should take at most 5 ms */
  constructor(context: Pick<CallContext, "turn">, unitsMax: number) {
    this.#context = context;
    this.#unitsMax = unitsMax;
  }

  /** Adds work. Returns whether the part has enough: the caller then awaits `nextPart`. */
  add(units: number): boolean {
    this.#units += units;
    return this.#units > this.#unitsMax;
  }

  /** Resolves in the next turn of the call. @throws {AshlarError} the errors of `CallContext.turn` */
  async nextPart(): Promise<void> {
    this.#units = 0;
    await this.#context.turn();
  }
}
