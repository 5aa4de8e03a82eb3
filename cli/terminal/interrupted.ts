/** A person broke off: the exit code is 130, and nothing more is said. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
}
