/** How deep a value from outside is nested: refused before anything walks it recursively. */
import { invalidParams } from './refusal.js'

/** @throws ProtocolError `-32602` naming the limit */
export function checkDepth(value: unknown, what: string, max: number): void {
  let level: unknown[] = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > max) {
      throw invalidParams(`${what} is nested deeper than ${max} levels (limit \`jsonDepthMax\`)`, {
        code: 'LIMIT_EXCEEDED',
        limit: 'jsonDepthMax',
      })
    }
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []))
  }
}
