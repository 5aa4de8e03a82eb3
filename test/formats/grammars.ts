/** Readers by what their documents say, where they themselves are not on every machine. readers.slow.test.ts has those. */
import type { Found } from './contract.ts'

/** `docker run --env-file`: a line each, of which blanks at the front are not a part. */
export function readDockerEnv(file: string): Found {
  const lines = file.replace(/^\ufeff/, '').split('\n')
  const kept = lines
    .map((line) => line.replace(/\r$/, '').trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'))
  return Object.fromEntries(
    kept.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
}

/** `EnvironmentFile=`: in double quotes a backslash stands before what a shell would act on, and at the end of a line. */
export function readSystemd(file: string): Found {
  const found: Record<string, string> = {}
  const pattern = /([A-Za-z_]\w*)="((?:\\[^]|[^"\\])*)"\n/y
  while (pattern.lastIndex < file.length) {
    const [, name = '', inner = ''] = pattern.exec(file) ?? []
    if (name === '') throw new Error('It is not a file of variables')
    found[name] = inner.replaceAll(/\\(["\\$`])|\\\n/g, '$1')
  }
  return found
}

/** `$GITHUB_ENV`: `NAME<<MARK`, lines, and the mark. */
export function readGithub(file: string): Found {
  const found: Record<string, string> = {}
  const lines = file.split('\n')
  while (lines.length > 1) {
    const [, name = '', mark = ''] = /^(.*?)<<(.*)$/s.exec(lines.shift() ?? '') ?? []
    const end = lines.indexOf(mark)
    if (end < 0) throw new Error('There is no end of a value')
    found[name] = lines
      .splice(0, end + 1)
      .slice(0, -1)
      .join('\n')
  }
  return found
}

/** Compose: in single quotes a backslash stands before a quote, and for itself before anything else. */
export function readCompose(file: string): Found {
  const found: Record<string, string> = {}
  let at = 0
  while (at < file.length) {
    const open = file.indexOf("='", at)
    const name = file.slice(at, open)
    let inner = ''
    let escaped = false
    for (at = open + 2; escaped || file[at] !== "'"; at++) {
      const each = file[at]
      if (each === undefined) throw new Error('A quote is not closed')
      if (!escaped && each === '\\') {
        escaped = true
        continue
      }
      inner += escaped && each !== "'" ? `\\${each}` : each
      escaped = false
    }
    found[name] = inner
    at += 2
  }
  return found
}
