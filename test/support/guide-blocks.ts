/** Blocks of a guide by the comment before them. */

/** The text of the block after `<!-- TITLE -->`. Throws where there is none. */
export function blockOf(page: string, title: string): string {
  const start = page.indexOf(`<!-- ${title} -->\n\`\`\``)
  const begin = page.indexOf('\n', start + `<!-- ${title} -->\n`.length) + 1
  if (start < 0) throw new Error(`There is no block ${title}`)
  return page.slice(begin, page.indexOf('\n```', begin) + 1)
}
