/** A text that is checked: its lines, what they are written in, and what its comments allow. */
import { basename } from 'node:path'

/**
 * What lines are written in: variables, as in `.env`; settings and manifests; a shell; a program; JSON, which has
 * settings and words for people alike.
 */
export type Language = 'env' | 'config' | 'json' | 'shell' | 'source'

/** A text with its place. */
export interface Text {
  /** From the top of what is checked, with `/` between its parts. Rules read environments from it. */
  readonly path: string
  readonly language: Language
  /** Empty where a line says nothing in that language. */
  readonly lines: readonly string[]
  /** The same lines, empty where there is nothing but a comment. */
  readonly code: readonly string[]
  /** Whether git would commit the file of variables, or, of an example, the one beside it. */
  readonly isCommitted?: boolean
}

/** A longer line was written by a program. */
const LONGEST_LINE = 4000

const languages: Readonly<Record<string, Language>> = {
  ...each('config', 'yaml yml toml ini cfg conf properties tf tfvars hcl service tpl gotmpl'),
  ...each('json', 'json jsonc json5'),
  ...each('shell', 'sh bash zsh'),
  ...each(
    'source',
    'ts mts cts tsx js mjs cjs jsx vue svelte py go rb java kt kts cs php rs scala',
  ),
  env: 'env',
}

/** Names of blocks of Markdown that are no endings of files. */
const blockNames: Readonly<Record<string, Language>> = {
  ...each('source', 'javascript typescript python golang ruby'),
  ...each('shell', 'console shell'),
  dotenv: 'env',
  dockerfile: 'config',
}

/** What the file of that name is written in; undefined for one that is not checked. */
export function languageOf(path: string): Language | 'markdown' | undefined {
  const name = basename(path)
  if (/^\.env(?:\.|$)/.test(name)) return 'env'
  if (/^(?:Dockerfile|Containerfile)(?:\.|$)/.test(name)) return 'config'
  if (name === '.envrc' || name === 'Makefile') return 'shell'
  const ending = /\.([a-z0-9]+)$/.exec(name)?.[1] ?? ''
  return ending === 'md' ? 'markdown' : languages[ending]
}

/** Whether a file of variables shows others what to fill in. */
export function isExample(path: string): boolean {
  return /(?:^|[./_-])(?:example|sample|template|dist|tmpl)(?:[./_-]|$)/.test(basename(path))
}

/** Whether a program, or its data, is a test, whose values are made up. */
export function isTest(path: string): boolean {
  return (
    /(?:^|\/)(?:tests?|__tests__|spec|testdata|(?:test-)?fixtures)\//.test(path) ||
    /(?:[._-](?:test|spec)\.\w+|(?:^|\/)(?:test_|conftest)\w*\.py)$/.test(path)
  )
}

/** The texts of a file: one, or of Markdown one for each language of its blocks. */
export function textsOf(path: string, content: string, isCommitted?: boolean): Text[] {
  const lines = content.split('\n').map((line) => (line.length > LONGEST_LINE ? '' : line))
  const language = languageOf(path)
  if (language === undefined) return []
  if (language === 'markdown') return blocksIn(path, lines)
  const text = { path, language, lines, code: withoutComments(lines) }
  return [{ ...text, ...(isCommitted !== undefined && { isCommitted }) }]
}

/** Whether nothing but a comment is on a line. */
export function isComment(line: string): boolean {
  return /^\s*(?:#(?!\{)|\/\/|\/\*|\*(?:\s|\/|$)|--\s|;|<!--)/.test(line)
}

/** What a comment on the line, counted from 1, or alone on the line above it, says after `tag`; undefined where none does. */
export function taggedAt(text: Text, line: number, tag: RegExp): RegExpExecArray | undefined {
  const above = text.lines[line - 2] ?? ''
  const found = tag.exec(text.lines[line - 1] ?? '') ?? (isComment(above) ? tag.exec(above) : null)
  return found ?? undefined
}

function withoutComments(lines: readonly string[]): string[] {
  return lines.map((line) => (line === '' || isComment(line) ? '' : line))
}

function each(language: Language, endings: string): Record<string, Language> {
  return Object.fromEntries(endings.split(' ').map((ending) => [ending, language]))
}

function blocksIn(path: string, lines: readonly string[]): Text[] {
  const texts = new Map<Language, string[]>()
  let open: string[] | 'other' | undefined
  for (const [at, line] of lines.entries()) {
    const [, fence] = /^\s*(?:```|~~~)\s*([\w-]*)/.exec(line) ?? []
    if (fence === undefined) {
      if (Array.isArray(open)) open[at] = line
    } else if (open !== undefined) open = undefined
    else {
      const language = languages[fence] ?? blockNames[fence]
      const blank = (): string[] => lines.map(() => '')
      open = language === undefined ? 'other' : (texts.get(language) ?? blank())
      if (language !== undefined && open !== 'other') {
        // Each block is a document of its own.
        open[at] = '---'
        texts.set(language, open)
      }
    }
  }
  return [...texts].map(([language, own]) => ({
    path,
    language,
    lines: own,
    code: withoutComments(own),
  }))
}
