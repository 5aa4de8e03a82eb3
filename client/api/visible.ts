/** Makes text from elsewhere safe to look at. */

/**
 * What moves the cursor, ends a line, reorders text, cannot be printed or is not seen at all. Two characters that are not seen
 * are a part of how some scripts and emoji are written, and signs of numbers, though of that kind, are seen.
 */
const hidden =
  /[[\p{Control}\p{Surrogate}\p{Zl}\p{Zp}\p{Format}]--[\u200c-\u200d]--[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}]]/gv

/**
 * `text` on one line with what a terminal or a browser would act on rather than show written as `\uXXXX`. Names
 * from a setec server may hold anything. In a line of JSON this changes the spelling alone.
 */
export function visible(text: string): string {
  return text.replace(hidden, (each) =>
    // Of a character beyond 16 bits, JSON spells both halves.
    each.replace(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  )
}
