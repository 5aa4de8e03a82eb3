/** Runs command lines of setec and of Sotto that want a confirmation token at their end. */

/** Stands in a command line for the token that the command asks for without it. */
const TOKEN = 'TOKEN'

/**
 * What came of a command line. One that ends with TOKEN is run without it first, for the token; once more where the
 * two runs lay in two minutes: a token of setec's ends with its minute, however young it is.
 */
export async function confirmed<Ended extends { readonly stderr: string }>(
  args: readonly string[],
  run: (args: readonly string[]) => Promise<Ended>,
): Promise<Ended> {
  if (args.at(-1) !== TOKEN) return run(args)
  const act = args.slice(0, -1)
  const once = async () => {
    const { stderr } = await run(act)
    const token = /confirmation required for "[^"]+", use token "([^"]+)"/.exec(stderr)?.[1]
    return run([...act, token ?? 'none'])
  }
  const ended = await once()
  return ended.stderr.includes('incorrect confirmation') ? once() : ended
}
