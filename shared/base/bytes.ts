const HEX_DIGITS = "0123456789abcdef";
/** The two digits of each byte. */
const BYTE_DIGITS: readonly string[] = [...HEX_DIGITS].flatMap((high) =>
  [...HEX_DIGITS].map((low) => high + low),
);
/** The values of the digits, by their character codes. */
const DIGIT_VALUES = new Uint8Array(128);
for (const [value, digit] of [...HEX_DIGITS].entries()) {
  DIGIT_VALUES[digit.charCodeAt(0)] = value;
  DIGIT_VALUES[digit.toUpperCase().charCodeAt(0)] = value;
}

/** Returns `bytes` in lower-case hex, two digits per byte. */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += BYTE_DIGITS[byte];
  return text;
}

/**
 * Returns the bytes of `hex`. The caller has checked that `hex` has an even number of hex digits.
 */
export function fromHex(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length >> 1);
  for (let index = 0; index < bytes.length; index += 1) {
    const high = DIGIT_VALUES[hex.charCodeAt(2 * index)] as number;
    bytes[index] = (high << 4) | (DIGIT_VALUES[hex.charCodeAt(2 * index + 1)] as number);
  }
  return bytes;
}

/**
 * Compares byte by byte, as memcmp(3); a prefix sorts before a longer array.
 *
 * @returns a number below 0, 0 or above 0 if `left` sorts before, equal to or after `right`
 */
export function compareBytes(left: Uint8Array, right: Uint8Array): number {
  const sharedLength = Math.min(left.length, right.length);
  for (let index = 0; index < sharedLength; index += 1) {
    const difference = (left[index] as number) - (right[index] as number);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/** Returns whether both arrays have the same length and bytes. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && compareBytes(left, right) === 0;
}

/** Returns a new array with the bytes of `parts` in order. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
