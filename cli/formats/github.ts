/** For the file `$GITHUB_ENV` of GitHub Actions: each value between two lines that are in no value. */
import { type Entry, type Format, linesOf, textOf, textRefusal, variableRefusal } from './format.ts'

export const github: Format = {
  reader: 'later steps of a job of GitHub Actions',
  refusal: ({ variable, value }) =>
    variableRefusal(variable) ??
    (/^(?:GITHUB|RUNNER)_|^NODE_OPTIONS$/i.test(variable)
      ? 'GitHub takes no variable of that name'
      : textRefusal(value)),
  refusalOfAll: (entries, { mark = '' }) =>
    mark === '' || entries.some((each) => textOf(each).includes(mark))
      ? 'a value has the mark that is to end it'
      : undefined,
  write: (entries, { mark = '' }) =>
    linesOf(entries, (each) => `${each.variable}<<${mark}\n${textOf(each)}\n${mark}`),
}

/** The commands that hide values in the logs of the job: a log is hidden line by line. */
export function masks(entries: readonly Entry[]): string {
  const lines = entries.flatMap((each) => textOf(each).split(/\r\n|[\r\n]/))
  return [...new Set(lines)]
    .filter((line) => line.trim() !== '')
    .map((line) => `::add-mask::${line.replaceAll('%', '%25')}\n`)
    .join('')
}
