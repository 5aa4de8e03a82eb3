/**
 * Runs the examples of a Markdown file, in order. A block of `sh` after a line `<!-- run -->` can be pasted as it is; a
 * block of `text` right after it is what it prints. A block of `console` shows a session: `$ ` begins a command, `> ` goes
 * on with it, and the lines after it are what it prints. `…` in an expected line stands for anything, and as a line of
 * its own for one or more lines.
 */
import { run } from './process.ts'

/** Commands of a document, with what they should print. */
export interface Example {
  /** Where its first command is. */
  readonly line: number
  readonly command: string
  readonly expected: readonly string[]
}

/** The examples of `markdown`, in order; those of the mark `<!-- run: KIND -->` where there is a kind. */
export function examplesIn(markdown: string, kind?: string): Example[] {
  const mark = kind === undefined ? '<!-- run -->' : `<!-- run: ${kind} -->`
  const examples: { line: number; command: string; expected: string[] }[] = []
  const lines = markdown.split('\n')
  for (const [at, line] of lines.entries()) {
    if (line === '```console' && kind === undefined) {
      for (const [index, text] of blockAt(lines, at).entries()) {
        const last = examples.at(-1)
        if (text.startsWith('$ ')) {
          examples.push({ line: at + index + 2, command: text.slice(2), expected: [] })
        } else if (text.startsWith('> ') && last) last.command += `\n${text.slice(2)}`
        else last?.expected.push(text)
      }
    } else if (line === mark) {
      const commands = blockAt(lines, at + 1)
      const after = at + commands.length + 3
      const prints = lines[after] === '' && lines[after + 1] === '```text'
      const expected = prints ? blockAt(lines, after + 1) : []
      examples.push({ line: at + 3, command: commands.join('\n'), expected: [...expected] })
    }
  }
  return examples
}

/** The lines of the block that the fence at `start` opens. */
function blockAt(lines: readonly string[], start: number): readonly string[] {
  const end = lines.indexOf('```', start + 1)
  if (!lines[start]?.startsWith('```') || end === -1) {
    throw new Error(`Line ${start + 1} begins no block: "${lines[start]}"`)
  }
  return lines.slice(start + 1, end)
}

/** Files that a document shows after a line `<!-- file: NAME -->`, by name. */
export function filesIn(markdown: string): Map<string, string> {
  const shown = markdown.matchAll(/<!-- file: (\S+) -->\n+```\w*\n([\s\S]*?)```/g)
  return new Map([...shown].map(([, name = '', text = '']) => [name, text]))
}

/** Runs the commands one after another in one shell and resolves with what each printed. */
export async function runExamples(
  examples: readonly Example[],
  options: { cwd: string; env: NodeJS.ProcessEnv; replace: (text: string) => string },
): Promise<string[][]> {
  const mark = `end-of-example-${process.pid}`
  const script = examples
    .map(({ command }) => `${options.replace(command)}\nprintf '\\n%s\\n' ${mark}\n`)
    .join('')
  const { cwd, env: environment } = options
  // One stream, so that words and data stand in the order in which a person sees them.
  const input = `exec 2>&1\n${script}`
  const { stdout } = await run('bash', ['-s'], { cwd, environment, input })
  const parts = stdout.split(`\n${mark}\n`).slice(0, -1)
  return parts.map((part) => (part === '' ? [] : part.replace(/\n$/, '').split('\n')))
}

/** Whether `lines` are what `patterns` show; a line that is `…` stands for one or more. */
export function showsLines(patterns: readonly string[], lines: readonly string[]): boolean {
  const [pattern, ...rest] = patterns
  if (pattern === undefined) return lines.length === 0
  if (pattern === '…') return lines.some((_, at) => showsLines(rest, lines.slice(at + 1)))
  const [line, ...others] = lines
  return line !== undefined && showsLine(pattern, line) && showsLines(rest, others)
}

/** Whether `line` is what `pattern` shows, `…` standing for anything. */
export function showsLine(pattern: string, line: string): boolean {
  const source = pattern
    .split('…')
    .map((part) => RegExp.escape(part))
    .join('.*')
  return new RegExp(`^${source}$`).test(line)
}
