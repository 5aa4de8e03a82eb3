/**
 * Draws docs/terminal.svg, the terminal that README.md shows, from the last session of docs/guides/get-started.md, which a
 * test runs:
 *   node .ci/picture.ts
 */
import { readFileSync, writeFileSync } from 'node:fs'

/** Of a character and a line, in pixels. */
const cell = { width: 8.4, height: 20 }
const margin = 16

/** The picture of the last session of `page`, without its first line, which names the server. */
export function terminalPicture(page: string): string {
  const [, example = ''] = [...page.matchAll(/^```console\n([^]*?)^```$/gm)].at(-1) ?? []
  // The session shows `…` for what is another each time.
  const [, ...lines] = example.trimEnd().replaceAll('…Z', '2026-11-29T09:41:07.000Z').split('\n')
  if (lines.length === 0) throw new Error('The page has no session')
  const columns = Math.max(...lines.map((line) => line.length))
  const width = Math.ceil(columns * cell.width + 2 * margin)
  const height = lines.length * cell.height + 2 * margin
  const texts = lines.map((line, at) => {
    const y = margin + (at + 0.75) * cell.height
    const look = line.startsWith('$ ') ? ' class="typed"' : ''
    return `<text x="${margin}" y="${y}"${look} xml:space="preserve">${escaped(line)}</text>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" role="img" aria-label="Sotto at work in a terminal">
<style>
rect { fill: #14181d }
text { fill: #c4ccd4; font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
.typed { fill: #f2f5f7; font-weight: 600 }
</style>
<rect width="100%" height="100%" rx="8"/>
${texts.join('\n')}
</svg>
`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

if (import.meta.main) {
  const top = new URL('..', import.meta.url)
  const page = readFileSync(new URL('docs/guides/get-started.md', top), 'utf8')
  writeFileSync(new URL('docs/terminal.svg', top), terminalPicture(page))
}
