/** The release of the package, for messages about versions. */
import { readFileSync } from 'node:fs'

let known: string | undefined

// Of the built package, and of its source.
const PLACES = ['../package.json', '../../../package.json']

/** Version in the package's `package.json`; `'unknown'` where the code was bundled without it. */
export function releaseOfPackage(): string {
  known ??= PLACES.map(versionAt).find((version) => version !== undefined) ?? 'unknown'
  return known
}

function versionAt(path: string): string | undefined {
  try {
    const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as Record<
      string,
      unknown
    >
    return name === 'holdfast' && typeof version === 'string' ? version : undefined
  } catch {
    return undefined
  }
}
