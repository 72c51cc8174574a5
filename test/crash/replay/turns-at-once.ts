/** For the negative control: without rule 2. Answers are handed over as they come, and every ask counts as inside a turn. */
export class TurnsAtOnce {
  readonly open = true
  readonly planned = false
  readonly number = 0

  constructor(private readonly rest: () => void) {}

  plan(answer: () => void): void {
    answer()
    // Most bodies have asked for the next thing by then, and a chain that is late is overtaken. What it asks for is seen to
    // in the end, or nothing would begin.
    void microtasks(REST_MICROTASKS).then(this.rest)
    setImmediate(this.rest)
  }

  planAfterPause(answer: () => void): void {
    this.plan(answer)
  }
}

const REST_MICROTASKS = 6

async function microtasks(count: number): Promise<void> {
  for (let done = 0; done < count; done++) await null
}
