declare const brand: unique symbol;

/** A `T` that has passed a parser. From there on the type is the proof. */
export type Branded<T, Name extends string> = T & { readonly [brand]: Name };
