/** For `EnvironmentFile=` of systemd: in double quotes. */
import { type Format, linesOf, textOf, textRefusal, variableRefusal } from './format.ts'

export const systemd: Format = {
  reader: 'EnvironmentFile= of systemd',
  refusal: (entry) => {
    const wrong = variableRefusal(entry.variable) ?? textRefusal(entry.value)
    if (wrong !== undefined) return wrong
    return /\p{Noncharacter_Code_Point}/u.test(textOf(entry))
      ? 'it has a character that is none, such as U+FFFF, which systemd takes for damage'
      : undefined
  },
  write: (entries) =>
    linesOf(
      entries,
      (each) => `${each.variable}="${textOf(each).replaceAll(/["\\$`]/g, String.raw`\$&`)}"`,
    ),
}
