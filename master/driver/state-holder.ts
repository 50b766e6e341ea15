import { isAshlarError } from "../../shared/base/errors.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { OrderedStore } from "../../shared/ports/ordered-store.ts";
import type { StateMachine } from "../state-machine.ts";
import type { NamedStore, StateDirectory } from "./member-storage.ts";

export interface StateHolderOptions {
  readonly states: StateDirectory;
  readonly openStateMachine: (store: OrderedStore) => StateMachine;
  readonly log: Log;
}

/** The state of the moment: the store that holds it and the state machine over it. */
export class StateHolder {
  readonly #options: StateHolderOptions;
  #current: NamedStore;
  #machine: StateMachine;

  private constructor(options: StateHolderOptions, current: NamedStore, machine: StateMachine) {
    this.#options = options;
    this.#current = current;
    this.#machine = machine;
  }

  /** Opens the state. One that cannot be read is given up for an empty one: the log or a peer fills it. */
  static async open(options: StateHolderOptions): Promise<StateHolder> {
    const { states, log } = options;
    try {
      const current = await states.openCurrent();
      return new StateHolder(options, current, await openMachine(options, current));
    } catch (error) {
      if (!isAshlarError(error, "STORE_CORRUPT")) throw error;
      log.error("The state is damaged and is being rebuilt from the log or from a peer", { error });
    }
    const fresh = await states.startOver();
    return new StateHolder(options, fresh, await openMachine(options, fresh));
  }

  get machine(): StateMachine {
    return this.#machine;
  }

  /**
   * Puts the state in `prepared` in place of the current one, durably; a crash leaves either. The
   * caller sees to it that the old one is neither applied to nor flushed meanwhile.
   *
   * @throws {AshlarError} STORE_CORRUPT if `prepared` holds no state: nothing has changed.
   */
  async replace(prepared: NamedStore): Promise<void> {
    const machine = this.#options.openStateMachine(prepared.store);
    await this.#options.states.switchTo(prepared.name);
    const old = this.#current;
    this.#current = prepared;
    this.#machine = machine;
    await old.store.close();
    await this.#options.states.remove(old.name);
  }

  /** Gives up a store that never became the state. */
  async discard(prepared: NamedStore): Promise<void> {
    await prepared.store.close();
    await this.#options.states.remove(prepared.name);
  }

  async close(): Promise<void> {
    await this.#current.store.close();
  }
}

async function openMachine(options: StateHolderOptions, named: NamedStore): Promise<StateMachine> {
  try {
    return options.openStateMachine(named.store);
  } catch (error) {
    await named.store.close();
    throw error;
  }
}
