declare const brand: unique symbol;

/** The mark of a parser. An interface, and exported, so that the declarations of others can name it. */
export interface Brand<Name extends string> {
  readonly [brand]: Name;
}

/** A `T` that has passed a parser. From there on the type is the proof. */
export type Branded<T, Name extends string> = T & Brand<Name>;
