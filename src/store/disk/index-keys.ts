/** Keys of the index of settled tasks, and ranges of them. The values are described in store/settled-index.ts. */
import { type AttributeValue, attributeText } from '../../task/attributes.js'
import type { IdRange } from '../../task/list-query.js'
import type { KeyRange } from './layout.js'

/** A final status. */
export type SettledStatus = 'completed' | 'failed' | 'cancelled'

/** Every final status. */
export const SETTLED_STATUSES = ['completed', 'failed', 'cancelled'] as const satisfies readonly SettledStatus[]

/** The statuses that are indexed by themselves. Most tasks complete, so those are read in `done/`. */
export type IndexedStatus = Exclude<SettledStatus, 'completed'>

const LETTERS = { completed: 'c', failed: 'f', cancelled: 'x' } as const satisfies Record<SettledStatus, string>

/** The settled tasks of a type and status. */
export const typeIndexPrefix = (type: string, status: SettledStatus) =>
  `ix/t/${encodeURIComponent(type)}/${LETTERS[status]}/`
/** The settled tasks of an owner and status. */
export const ownerIndexPrefix = (owner: string, status: SettledStatus) =>
  `ix/o/${encodeURIComponent(owner)}/${LETTERS[status]}/`
/** The settled tasks of a status. */
export const statusIndexPrefix = (status: IndexedStatus) => `ix/s/${LETTERS[status]}/`
/** The settled children of a task. */
export const childIndexPrefix = (parentId: string) => `ix/p/${parentId}/`

/** The settled tasks that have a value of an attribute. */
export const attributeIndexPrefix = (name: string, value: AttributeValue) =>
  `ix/a/${encodeURIComponent(name)}/${encodeURIComponent(attributeText(value))}/`

/** The keys of the tasks of a range of IDs under a prefix. */
export function idsUnder(prefix: string, { gte, lt }: IdRange): KeyRange {
  return { gte: `${prefix}${gte}`, lt: `${prefix}${lt}` }
}
