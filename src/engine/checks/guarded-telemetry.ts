/** Guards the engine against telemetry that throws: no task may fail because of a span. */
import { checkFunctionsOf } from '../../base/expected.js'
import { faultOf } from '../../base/fault.js'
import type { Logger } from '../../base/logger.js'
import type {
  SpanBegin,
  SpanEnd,
  Telemetry,
  TelemetryEvent,
  TelemetryFigures,
  TelemetrySpan,
} from '../../task/telemetry.js'
import { type Trace, traceOf } from '../../task/trace.js'

/** Checks the option `telemetry`, and guards it. @throws TypeError naming the expected and the given value */
export function checkTelemetry(telemetry: Telemetry | undefined, logger: Logger): Telemetry | undefined {
  if (telemetry === undefined) return undefined
  checkFunctionsOf('telemetry', telemetry, ['begin', 'record', 'observe'])
  return new GuardedTelemetry(telemetry, new Failures(logger))
}

/** Logs the first failure of each function. */
class Failures {
  readonly #failed = new Set<string>()

  constructor(private readonly logger: Logger) {}

  note(name: string, error: unknown): void {
    if (this.#failed.has(name)) return
    this.#failed.add(name)
    this.logger.warn(
      'Telemetry failed, so spans or metrics are missing. Tasks are not affected. Fix the function of `telemetry`; further failures of it are not logged.',
      { function: name, error: faultOf(error) },
    )
  }
}

/** Calls the functions of a telemetry, and drops their errors. */
class GuardedTelemetry implements Telemetry {
  constructor(
    private readonly inner: Telemetry,
    private readonly failures: Failures,
  ) {}

  begin(span: SpanBegin): TelemetrySpan {
    try {
      return new GuardedSpan(this.inner.begin(span), this.failures)
    } catch (error) {
      this.failures.note('begin', error)
      return NO_SPAN
    }
  }

  record(event: TelemetryEvent): void {
    try {
      this.inner.record(event)
    } catch (error) {
      this.failures.note('record', error)
    }
  }

  observe(figures: TelemetryFigures): () => void {
    let stop = () => {}
    try {
      stop = this.inner.observe(figures)
    } catch (error) {
      this.failures.note('observe', error)
    }
    return () => {
      try {
        stop()
      } catch (error) {
        this.failures.note('observe', error)
      }
    }
  }
}

class GuardedSpan implements TelemetrySpan {
  #isOver = false

  constructor(
    private readonly inner: TelemetrySpan,
    private readonly failures: Failures,
  ) {}

  get trace(): Trace | undefined {
    try {
      return traceOf(this.inner.trace as Record<string, unknown> | undefined)
    } catch (error) {
      this.failures.note('trace', error)
      return undefined
    }
  }

  within<T>(act: () => T): T {
    let wasCalled = false
    let value: T | undefined
    let thrown: { readonly error: unknown } | undefined
    const once = () => {
      if (wasCalled) return
      wasCalled = true
      try {
        value = act()
      } catch (error) {
        thrown = { error }
      }
    }
    try {
      this.inner.within(once)
    } catch (error) {
      this.failures.note('within', error)
    }
    once()
    if (thrown) throw (thrown as { readonly error: unknown }).error
    return value as T
  }

  end(end: SpanEnd): void {
    if (this.#isOver) return
    this.#isOver = true
    try {
      this.inner.end(end)
    } catch (error) {
      this.failures.note('end', error)
    }
  }
}

/** The span of a telemetry that could not begin one. */
const NO_SPAN: TelemetrySpan = { trace: undefined, within: (act) => act(), end: () => {} }
