/**
 * The cursor of a list: the ID after which the next page begins, and a mark of the filters and the order. Clients keep
 * cursors, and may show them. So a cursor has only the beginning of an ID if that task was looked at and not listed:
 * over MCP without authentication, a whole ID is the right to read the task.
 */
import { createHash } from 'node:crypto'
import { HoldfastError } from '../../base/errors.js'
import { orderOf } from '../../base/ids.js'
import type { ListFilter, ListOrder, MergedPage } from '../../task/list-query.js'

/** The cursor of the page after `next`. */
export function encodeCursor(
  { after, isListed }: NonNullable<MergedPage<unknown>['next']>,
  filter: ListFilter,
  order: ListOrder,
): string {
  return Buffer.from(`${markOf(filter, order)} ${isListed ? after : orderOf(after)}`).toString('base64url')
}

/**
 * After what the page begins: a task ID, or the beginning of one.
 * @throws HoldfastError `INVALID_CURSOR` for one of other filters, of another order, or of no list
 */
export function decodeCursor(cursor: unknown, filter: ListFilter, order: ListOrder): string {
  const text = typeof cursor === 'string' ? Buffer.from(cursor, 'base64url').toString() : ''
  const [, mark, after] = /^([0-9a-f]{16}) (task-[0-9A-Z]{12,60})$/.exec(text) ?? []
  if (after === undefined) {
    throw new HoldfastError('INVALID_CURSOR', 'The cursor is not one that `list` returned. Begin again without one.')
  }
  if (mark === markOf(filter, order)) return after
  const next = 'Pass the options of the previous page, or begin again without a cursor.'
  throw new HoldfastError('INVALID_CURSOR', `The cursor belongs to a list with other options. ${next}`)
}

/** Marks the filters and the order of a list. */
function markOf(filter: ListFilter, order: ListOrder): string {
  const { owner, statuses, type, parent, createdAfter, createdBefore, attributes } = filter
  const sorted = statuses && [...new Set(statuses)].sort()
  const text = JSON.stringify([
    owner ?? null,
    sorted ?? null,
    type ?? null,
    parent ?? null,
    createdAfter,
    createdBefore,
    order,
    // Absent in the cursors of lists without attributes, as in those of earlier versions.
    ...(attributes ? [attributes] : []),
  ])
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}
