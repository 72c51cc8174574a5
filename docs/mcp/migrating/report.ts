/** The work of the four servers beside this file: a month's report, made page by page. */
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'

export const INFO = { name: 'reports', version: '1.0.0' }

export const input = z.object({ month: z.string(), pages: z.int().min(1).max(500) })

/** What every real tool waits for. */
export async function writePage(month: string, page: number): Promise<string> {
  await delay(20)
  return `${month}, page ${page}`
}
