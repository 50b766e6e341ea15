declare const brand: unique symbol;

/** The brand of a checked value. It is exported because declaration files refer to it. */
export interface Brand<Name extends string> {
  readonly [brand]: Name;
}

/** A `T` that a parser has checked. Code that receives this type does not check the value again. */
export type Branded<T, Name extends string> = T & Brand<Name>;
