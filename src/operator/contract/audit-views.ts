/** The reports of the jobs that read the audit. */
import { z } from 'zod'

/** The end of an audit at some time. */
export const AuditHeadView = z.strictObject({
  commit: z.int().min(0).describe('Number of the newest commit with audit entries.'),
  hash: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .describe('Its hash.'),
})

const finding = z.object({
  code: z.string(),
  commit: z.number(),
  entryId: z.string(),
  line: z.number().optional(),
  message: z.string(),
})

/** The result of a verification of an audit. */
export const AuditReportView = z.object({
  isSound: z.boolean(),
  storeId: z.string(),
  commits: z.number(),
  entries: z.number(),
  unchained: z.number(),
  head: AuditHeadView.optional(),
  deleted: z.object({ commit: z.number(), at: z.number() }).optional(),
  findings: z.array(finding),
  findingCount: z.number(),
})

/** The result of an export of an audit. */
export const AuditExportView = AuditReportView.extend({ exportedAt: z.number() })
