/** Policies as Tailscale writes them. */

/** JSON with comments and commas at ends. */
export function fromHujson(text: string): unknown {
  return JSON.parse(text.replace(/^\s*\/\/.*$/gm, '').replace(/,(\s*[\]}])/g, '$1'))
}
