/**
 * Runs the ```console blocks of a Markdown file: `$ ` begins a command, `> ` goes on with it, and
 * the lines after it are what it prints. `…` in an expected line stands for anything.
 */
import { run } from './process.ts'

/** A command of a document with what it should print. */
export interface Example {
  readonly line: number
  readonly command: string
  readonly expected: readonly string[]
}

/** The examples of `markdown` in blocks of that kind, in order. */
export function examplesIn(markdown: string, kind = 'console'): Example[] {
  const examples: { line: number; command: string; expected: string[] }[] = []
  let inside = false
  for (const [index, line] of markdown.split('\n').entries()) {
    if (line.startsWith('```')) inside = line === `\`\`\`${kind}`
    else if (!inside) continue
    else if (line.startsWith('$ ')) {
      examples.push({ line: index + 1, command: line.slice(2), expected: [] })
    } else if (line.startsWith('> ')) {
      const last = examples.at(-1)
      if (last) last.command += `\n${line.slice(2)}`
    } else examples.at(-1)?.expected.push(line)
  }
  return examples
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

/** Whether `line` is what `pattern` shows, `…` standing for anything. */
export function showsLine(pattern: string, line: string): boolean {
  const source = pattern
    .split('…')
    .map((part) => RegExp.escape(part))
    .join('.*')
  return new RegExp(`^${source}$`).test(line)
}
