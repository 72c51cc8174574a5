/** The parts of a backup (backup-format.ts). */

/** Beginning of a backup. */
export interface BackupHeader {
  readonly backup: number
  /** On-disk format of the store. */
  readonly format: number
  readonly storeId: string
  /** Number of the newest commit in the backup. */
  readonly commit: number
  /** Instant of the copy, in milliseconds since the epoch. */
  readonly createdAt: number
  /** Version of the library that wrote the backup. */
  readonly version: string
}

/** The end of a backup. */
export interface BackupFooter {
  readonly commit: number
  readonly records: number
  /** Bytes of all keys and values. */
  readonly bytes: number
  /** Number of records by kind. */
  readonly counts: Readonly<Record<string, number>>
  /** SHA-256 of all bytes before the footer, in hexadecimal digits. */
  readonly sha256: string
}

/** Part of a backup, in the order of the file. */
export type BackupPart =
  | { readonly kind: 'header'; readonly header: BackupHeader }
  | { readonly kind: 'records'; readonly records: readonly [key: string, text: string][] }
  | { readonly kind: 'footer'; readonly footer: BackupFooter }

/** A `Writable` of Node, such as a response of an HTTP server. */
export interface BackupStream {
  write(bytes: Uint8Array): boolean
  end(): unknown
  destroy(error?: Error): unknown
}
