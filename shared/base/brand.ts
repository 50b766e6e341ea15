declare const brand: unique symbol;

/**
 * The brand of a checked value. An exported interface, so that declaration files can refer to it.
 */
export interface Brand<Name extends string> {
  readonly [brand]: Name;
}

/** A `T` that has passed a parser. The type proves the check to all later code. */
export type Branded<T, Name extends string> = T & Brand<Name>;
