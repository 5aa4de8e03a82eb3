/** Values that formats break on, drawn by lot. */
import fc from 'fast-check'

/** What means something to one reader or another. */
const parts = [
  '\' " ` \\ $ # = : ; ! % ~ & | < > ( ) { } [ ] * ? , - @ ^'.split(' '),
  ['\n', '\r', '\r\n', '\t', ' ', ' #', '\0', '\u0001', '\u007f', '\u0085', '\u001b[0m'],
  ['\ufeff', '\u202e', '\u2028', '\u00a0', 'é', '漢', '😀', '\uffff'],
  ['$(id)', '${HOME}', '$HOME', '`id`', "'\\''", '\\n', '\\r', '\\\\', "\\'", '\\"', "$'a'"],
  ['a', 'key', 'no', '1e3', '0', '<<', 'EOF', 'export ', 'A=', "\nB='b'\n", '-----BEGIN KEY-----'],
].flat()

const nasty = fc
  .array(fc.constantFrom(...parts), { maxLength: 12 })
  .map((each) => Buffer.from(each.join('')))
const few = fc.array(fc.constantFrom("'", '"', '\\', 'a', '`'), { maxLength: 5 })
const readable = fc.string({ unit: 'binary', maxLength: 30 }).map((each) => Buffer.from(each))
const bytes = fc.uint8Array({ maxLength: 40 }).map((each) => Buffer.from(each))

const value = fc.oneof(
  { weight: 5, arbitrary: nasty },
  { weight: 2, arbitrary: few.map((each) => Buffer.from(each.join(''))) },
  { weight: 2, arbitrary: readable },
  { weight: 1, arbitrary: bytes },
)

/** Of which each reader is to give back every byte, or the format refuses it. */
const known = [
  '',
  ' ',
  '~',
  'no',
  'x\\',
  "it's",
  'a\n',
  '\na',
  '\t a \t',
  'a'.repeat(64 * 1024 - 20),
  'é'.repeat(32 * 1024),
  '-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n',
].map((each) => Buffer.from(each))

/** So many values, the same for a seed. */
export function someValues(count: number, seed: number): Buffer[] {
  const drawn = fc.sample(value, { numRuns: Math.max(1, count - known.length), seed })
  return [...known, ...drawn].slice(0, count)
}
