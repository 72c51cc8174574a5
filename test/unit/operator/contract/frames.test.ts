// Goal: frames are read as they were written, however the network cuts them; other bytes are refused.
// Method: one stream of frames, cut at every size.
import { expect, test } from 'vitest'
import { bytesFrame, messageFrame, readFrames } from '../../../../src/operator/contract/frames.js'

const frames = Buffer.concat([
  messageFrame({ kind: 'progress', phase: 'verify', done: 3 }),
  bytesFrame(Buffer.from('first')),
  bytesFrame(Buffer.alloc(0)),
  bytesFrame(Buffer.from('sécond')),
  messageFrame({ kind: 'done', report: { records: 2 } }),
])

async function* inPieces(bytes: Buffer, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function read(bytes: Buffer, size: number) {
  const found: unknown[] = []
  for await (const frame of readFrames(inPieces(bytes, size)))
    found.push(Buffer.isBuffer(frame) ? String(frame) : frame)
  return found
}

test('frames are read whole, whatever the pieces', async () => {
  for (let size = 1; size <= frames.length; size++) {
    expect(await read(frames, size), `pieces of ${size}`).toEqual([
      { kind: 'progress', phase: 'verify', done: 3 },
      'first',
      '',
      'sécond',
      { kind: 'done', report: { records: 2 } },
    ])
  }
})

test('a frame that is cut off is not read, and bytes that are no frames are refused', async () => {
  expect(await read(frames.subarray(0, -1), 7)).toHaveLength(4)
  await expect(read(Buffer.from('HTTP/1.1 200 OK'), 4)).rejects.toThrow(/no frames/)
})
