/** For `docker run --env-file`: a variable a line, and each character of a value stands for itself. */
import { type Format, linesOf, textOf, textRefusal, variableRefusal } from './format.ts'

/** What Docker reads a line into. */
const MAX_LINE_BYTES = 64 * 1024

export const dockerEnv: Format = {
  reader: 'docker run --env-file',
  refusal: ({ variable, value }) => {
    const wrong = variableRefusal(variable) ?? textRefusal(value)
    if (wrong !== undefined) return wrong
    if (value.includes(0x0a) || value.includes(0x0d)) return 'it has a line break'
    // With the line break at its end.
    return variable.length + value.length + 2 >= MAX_LINE_BYTES
      ? `its line has ${MAX_LINE_BYTES} bytes or more`
      : undefined
  },
  write: (entries) => linesOf(entries, (each) => `${each.variable}=${textOf(each)}`),
}
