/** For the `.env` and `env_file:` of Docker Compose: in single quotes, where only `\'` is not what it looks like. */
import { type Format, linesOf, textOf, textRefusal, variableRefusal } from './format.ts'

export const compose: Format = {
  reader: '.env and env_file of Docker Compose',
  refusal: (entry) => {
    const wrong = variableRefusal(entry.variable) ?? textRefusal(entry.value)
    if (wrong !== undefined) return wrong
    if (entry.value.includes(0x0d)) return 'it has a carriage return'
    return /\\(?:'|$)/.test(textOf(entry))
      ? 'it has a backslash before a single quote, or at its end'
      : undefined
  },
  write: (entries) =>
    linesOf(
      entries,
      (each) => `${each.variable}='${textOf(each).replaceAll("'", String.raw`\'`)}'`,
    ),
}
