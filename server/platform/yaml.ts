/**
 * Reads YAML that people wrote. The parser's own words may repeat the text, which may have a secret in it by mistake:
 * they are not passed on, only the place and the kind of fault.
 */
import { type Document, LineCounter, parseAllDocuments, visit } from 'yaml'
import { quote, SottoError } from '../../client/api/errors.ts'

/** YAML, parsed. */
export interface Yaml {
  /** None where the text has nothing but comments. */
  readonly documents: readonly Document.Parsed[]
  /** The line that `offset` is in, counted from 1. */
  readonly lineOf: (offset: number) => number
  /** The error for what is wrong at `offset`, or with all of it. */
  readonly fault: (offset: number | undefined, why: string, hint?: string) => SottoError
}

/** What people do most, in words. */
const faults: Readonly<Record<string, string>> = {
  BAD_INDENT: 'its indentation is wrong',
  BLOCK_AS_IMPLICIT_KEY: 'it has a colon too many, or its indentation is wrong',
  DUPLICATE_KEY: 'its key is there twice',
  MISSING_CHAR: 'a colon, a comma, a quote or a bracket is missing',
  MULTILINE_IMPLICIT_KEY: 'its indentation is wrong, or a colon is missing above it',
  TAB_AS_INDENT: 'it is indented by a tab: use spaces',
}

/** Parses `text`. `problem` begins each error, as `Cannot use "FILE"` does. Throws `usage` for what is not YAML. */
export function parseYaml(text: string, problem: string): Yaml {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false,
    // Else a key that is not a text is written to stderr, with what is in it.
    logLevel: 'error',
  }) as Document.Parsed[]
  const lineOf = (offset: number): number => lines.linePos(offset).line
  const fault = (offset: number | undefined, why: string, hint?: string): SottoError => {
    const place = offset === undefined ? '' : `line ${lineOf(offset)}: `
    return new SottoError('usage', `${problem}: ${place}${why}`, { hint })
  }
  for (const { errors, warnings } of documents) {
    const [error] = [...errors, ...warnings]
    // Of a key that has several lines, the last has the colon, and is the one that stands wrong.
    const long = errors.find(({ code }) => code === 'MULTILINE_IMPLICIT_KEY')
    if (long) throw fault(long.pos[1], faults[long.code] ?? '')
    if (error) throw fault(error.pos[0], faults[error.code] ?? `it is not YAML (${error.code})`)
  }
  return { documents, lineOf, fault }
}

/** What `document` says, its aliases replaced. Throws `fault` where one cannot be, or they make too much of it. */
export function dataOf(document: Document, fault: Yaml['fault']): unknown {
  visit(document, {
    Alias: (_, alias) => {
      if (alias.resolve(document)) return
      throw fault(alias.range?.[0], `the alias ${quote(alias.source)} has no anchor before it`)
    },
  })
  try {
    return document.toJS() as unknown
  } catch (error) {
    // The library's own words may repeat the text.
    const excess = error instanceof ReferenceError
    throw fault(undefined, excess ? 'its aliases repeat too much' : 'a merge key needs a map')
  }
}
