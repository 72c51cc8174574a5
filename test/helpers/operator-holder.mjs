/**
 * A process that holds a store, or calls the operator API of one, for tests that kill it or run it as another user. Runs the
 * sources through tsx. Commands: `hold <dir>`, `idle <dir>` (has nothing to do after the end of its input), `call <dir>`, `raw <socket>`.
 */

import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { register } from 'tsx/esm/api'

register()
const [command, at = ''] = process.argv.slice(2)
const print = (/** @type {unknown} */ value) => process.stdout.write(`${JSON.stringify(value)}\n`)
const errorOf = (/** @type {any} */ error) => ({ code: error.code, message: error.message })

if (command === 'hold' || command === 'idle') {
  const { Holdfast, silentLogger } = await import('../../src/index.js')
  const { operatorClient } = await import('../../src/operator/index.js')
  try {
    const holdfast = await Holdfast.open({ dir: at, logger: silentLogger })
    const client = operatorClient({ dir: at })
    print(await client.info())
    if (command === 'hold') setInterval(() => {}, 60_000)
    else process.stdin.resume()
    client.close()
    holdfast.on('recovery:done', () => {})
  } catch (error) {
    print(errorOf(error))
  }
} else if (command === 'call') {
  const { operatorClient } = await import('../../src/operator/index.js')
  print(await operatorClient({ dir: at, waitMs: 0 }).info().catch(errorOf))
} else if (command === 'raw') {
  // The calls of another user: list, read and connect.
  const tried = {}
  try {
    readFileSync(`${at}/../holder.json`)
    Object.assign(tried, { read: 'done' })
  } catch (error) {
    Object.assign(tried, { read: errorOf(error).code })
  }
  const connect = await new Promise((resolve) => {
    request({ socketPath: at, path: '/v1/info' }, () => resolve('done'))
      .on('error', (error) => resolve(errorOf(error).code))
      .end()
  })
  print({ ...tried, connect, uid: process.getuid?.() })
}
