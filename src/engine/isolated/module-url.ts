/** Which module an isolated step runs. */
import { isAbsolute } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expected } from '../../expected.js'

/**
 * The URL of a module given as a `file:` URL or an absolute path.
 * @throws TypeError for anything else; a relative path would mean another file in another folder
 */
export function moduleUrlOf(given: unknown): string {
  if (typeof given === 'string' && isAbsolute(given) && !given.includes('\0')) return pathToFileURL(given).href
  const url =
    given instanceof URL ? given : typeof given === 'string' && URL.canParse(given) ? new URL(given) : undefined
  if (url?.protocol === 'file:') return url.href
  throw expected(
    'moduleUrl',
    "a file: URL or an absolute path, such as new URL('./work.js', import.meta.url)",
    given instanceof URL ? given.href : given,
  )
}
