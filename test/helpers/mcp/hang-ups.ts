/** Waits until a server in this process has seen that the client of a response is gone. */
import type { ServerResponse } from 'node:http'
import type { Holdfast } from 'holdfast'
import { untilIdle } from 'holdfast/testing'

export class HangUps {
  /** Called when a response is closed before its end. */
  #onHangUp: (() => void)[] = []

  /** Watches a response of the server. */
  watch(res: ServerResponse): void {
    res.once('close', () => {
      if (!res.writableFinished) for (const resolve of this.#onHangUp.splice(0)) resolve()
    })
  }

  /** Hangs up one request with `act`, and waits until the server has seen that and its store is idle. */
  async hangUp(holdfast: Holdfast, act: () => unknown): Promise<void> {
    const seen = new Promise<void>((resolve) => this.#onHangUp.push(resolve))
    await act()
    await seen
    await untilIdle(holdfast)
  }
}
