/** Reads the feed of events: the format of SSE, as the server of this package writes it. */
import type { OperatorEvent } from './operator-event.js'
import type { OperatorConnection, Sending } from './requests.js'

/** Reads events until the feed ends, or `signal` aborts. @throws HoldfastError as `OperatorConnection#call` */
export async function* readEvents(
  connection: OperatorConnection,
  sending: Sending,
): AsyncGenerator<OperatorEvent, void, undefined> {
  const response = await connection.open(sending)
  let rest = ''
  try {
    response.setEncoding('utf8')
    for await (const chunk of response as AsyncIterable<string>) {
      const blocks = (rest + chunk).split('\n\n')
      rest = blocks.pop() as string
      for (const block of blocks) {
        const event = eventOf(block)
        if (event) yield event
        if (event?.name === 'cut' || event?.name === 'closed') return
      }
    }
  } catch (error) {
    if (sending.signal?.aborted) return
    throw connection.lost(sending, error)
  } finally {
    response.destroy()
  }
  if (!sending.signal?.aborted) throw connection.lost(sending, undefined)
}

function eventOf(block: string): OperatorEvent | undefined {
  const name = /^event: (.+)$/m.exec(block)?.[1]
  const data = /^data: (.+)$/m.exec(block)?.[1]
  return name === undefined || data === undefined ? undefined : ({ name, data: JSON.parse(data) } as OperatorEvent)
}
