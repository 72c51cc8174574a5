/**
 * What makes a client of another author's answer the same few orders. Each client is a process of its own: orders and answers
 * are messages between processes, since some clients write to standard output.
 *
 * An adapter exports nothing; it calls `serve` with a function that connects its client:
 * `(job, on) => ({ list: () => names, call: (name, args) => text, close })`. `job` is `{ command, args }` or
 * `{ url, token }`; the adapter reports `on.progress(number)`, and answers a question with `on.ask()`. A client of tasks
 * also reports `on.reference(task)` and has `resume: (task) => text`.
 */
const text = (error) => {
  const causes = []
  for (let at = error; at && causes.length < 4; at = at.cause) {
    const cause = at.code ? `${at.message} (${at.code})` : String(at.message ?? at)
    if (cause !== causes.at(-1)) causes.push(cause)
  }
  return causes.join(': ')
}

export function serve(connect) {
  const job = JSON.parse(process.argv[2])
  const tell = (message) => process.connected && process.send(message)
  const on = {
    progress: (progress) => tell({ progress }),
    reference: (reference) => tell({ reference }),
    ask: () => {
      tell({ asked: true })
      return { action: 'accept', content: { sure: true } }
    },
  }
  let connected
  const orders = {
    connect: async () => {
      connected = await connect(job, on)
      return connected.era
    },
    list: () => connected.list(),
    call: ({ name, args }) => connected.call(name, args),
    resume: ({ reference }) => connected.resume(reference),
    close: () => connected.close(),
  }
  process.on('message', async ({ id, order, ...rest }) => {
    try {
      tell({ id, value: await orders[order](rest) })
    } catch (error) {
      tell({ id, error: text(error) })
    }
  })
  // A client that fails beside its call is no reason to give up the call.
  process.on('unhandledRejection', (error) => tell({ beside: text(error) }))
  process.on('uncaughtException', (error) => tell({ beside: text(error) }))
  process.on('disconnect', () => process.exit())
}

/** The text of a tool's result. */
export const textOf = (result) => {
  const said = result.structuredContent
    ? JSON.stringify(result.structuredContent)
    : (result.content ?? []).map(({ text }) => text).join(' ')
  if (result.isError) throw new Error(said)
  return said
}
