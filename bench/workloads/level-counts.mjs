/** Counts of LevelDB calls in this process, for every database that it opens from now on. */
import { ClassicLevel } from 'classic-level'

/** @typedef {{ operations: number, batches: number, reads: number, readKeys: number }} LevelCounts */

/** Begins to count. @returns {() => LevelCounts} takes the counts since the last call */
export function countLevelCalls() {
  const counts = { operations: 0, batches: 0, reads: 0, readKeys: 0 }
  const level = /** @type {any} */ (ClassicLevel.prototype)
  const { get, getMany, iterator, batch } = level
  level.get = function (/** @type {unknown[]} */ ...given) {
    counts.reads++
    counts.readKeys++
    return get.apply(this, given)
  }
  level.getMany = function (/** @type {string[]} */ keys, /** @type {unknown[]} */ ...more) {
    counts.reads++
    counts.readKeys += keys.length
    return getMany.call(this, keys, ...more)
  }
  level.iterator = function (/** @type {unknown[]} */ ...given) {
    const made = iterator.apply(this, given)
    const nextv = made.nextv.bind(made)
    made.nextv = async (/** @type {unknown[]} */ ...size) => {
      const found = await nextv(...size)
      counts.reads++
      counts.readKeys += found.length
      return found
    }
    return made
  }
  level.batch = function (/** @type {unknown[]} */ ...given) {
    counts.batches++
    if (given.length > 0) {
      counts.operations += /** @type {unknown[]} */ (given[0]).length
      return batch.apply(this, given)
    }
    const made = batch.call(this)
    for (const name of ['put', 'del']) {
      const operation = made[name].bind(made)
      made[name] = (/** @type {unknown[]} */ ...operands) => {
        counts.operations++
        return operation(...operands)
      }
    }
    return made
  }
  return () => {
    const taken = { ...counts }
    for (const name of /** @type {(keyof LevelCounts)[]} */ (Object.keys(counts))) counts[name] = 0
    return taken
  }
}
