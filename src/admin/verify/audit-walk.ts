/** Checks the audit of an open database: its values, their chain, and the keys of the trail that lead to them. */
import { META_AUDIT } from '../../store/disk/layout.js'
import type { Level } from '../../store/disk/level.js'
import { unseal } from '../../store/integrity/envelope.js'
import type { Find } from './findings.js'
import { AuditCheck } from './shared-rules.js'

/** Reads all values of the audit, page by page, and reports broken seals. */
export type ScanAudit = (
  take: (key: string, body: string) => void,
  afterPage: () => Promise<void>,
  takeDamaged: (key: string) => void,
) => Promise<void>

/** Checks the audit. @returns the number of keys of the trail that must exist, and do */
export async function walkAudit(level: Level, find: Find, scan: ScanAudit): Promise<number> {
  const audit = new AuditCheck(find, await deletedLink(level))
  let found = 0
  let trail: string[] = []
  const lookUp = async () => {
    const texts = await level.getMany(trail)
    for (const [index, key] of trail.entries()) {
      if (texts[index] === undefined) find('TRAIL_WRONG', key, 'it is missing')
      else found++
    }
    trail = []
  }
  await scan(
    (key, body) => trail.push(...audit.add(key, body)),
    lookUp,
    (key) => audit.addDamaged(key),
  )
  audit.end()
  return found
}

/** Body of `meta/audit`. A broken seal is reported with those of the other records of `meta/`. */
async function deletedLink(level: Level): Promise<string | undefined> {
  const text = await level.get(META_AUDIT)
  try {
    return text && unseal(META_AUDIT, text).body
  } catch {
    return undefined
  }
}
