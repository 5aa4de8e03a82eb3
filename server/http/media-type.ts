/** Media types, as the header Content-Type gives them: RFC 9110, section 8.3. */

const token = "[!#$%&'*+.^`|~\\w-]+"
const quoted = String.raw`"(?:[\t !#-\[\]-~]|\\[\t -~])*"`
const parameter = `(${token})=(${token}|${quoted})`
// White space has one place to be matched in, so that no header takes long.
const mediaType = new RegExp(`^(${token}/${token})((?:[\\t ]*;(?:[\\t ]*${parameter})?)*)[\\t ]*$`)
const parameters = new RegExp(parameter, 'g')

/** Whether the header says JSON, and no other encoding than its own, UTF-8. */
export function isJson(header: string): boolean {
  // As nearly every client writes it.
  if (header === 'application/json') return true
  const [, type = '', rest = ''] = mediaType.exec(header) ?? []
  if (type.toLowerCase() !== 'application/json') return false
  return [...rest.matchAll(parameters)].every(([, name = '', value = '']) => {
    const plain = value.replaceAll(/^"|"$|\\(?=.)/g, '')
    return name.toLowerCase() !== 'charset' || /^utf-?8$/i.test(plain)
  })
}
