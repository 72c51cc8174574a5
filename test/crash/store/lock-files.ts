/** The files of a directory with a lock, and the error of an open that is refused. */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { expect } from 'vitest'
import { HoldfastError } from '../../../src/base/errors.js'
import type { LockHolder } from '../../../src/store/lock/lock.js'

export async function databaseIn(dir: string): Promise<void> {
  const db = new ClassicLevel(join(dir, 'db'))
  await db.put('a', 'b')
  await db.close()
}

export function readLock(dir: string): LockHolder {
  return JSON.parse(readFileSync(join(dir, 'lock'), 'utf8')) as LockHolder
}

export function writeLock(dir: string, holder: Partial<LockHolder>, name = 'lock'): void {
  writeFileSync(join(dir, name), JSON.stringify(holder))
}

export function inodeOf(dir: string): string {
  const { dev, ino } = statSync(dir, { bigint: true })
  return `${dev}:${ino}`
}

export async function refusal(opening: Promise<unknown>): Promise<HoldfastError> {
  const error = await opening.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(HoldfastError)
  expect((error as HoldfastError).code).toBe('STORE_LOCKED')
  return error as HoldfastError
}

export function namesIn(dir: string): string[] {
  return readdirSync(dir).sort()
}
