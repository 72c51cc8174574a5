/** Makes the telemetry of `Holdfast.open` from a tracer and a meter of OpenTelemetry. */
import { type MeterProvider, metrics, type TracerProvider, trace } from '@opentelemetry/api'
import type { SpanBegin, Telemetry, TelemetryEvent, TelemetryFigures, TelemetrySpan } from '../task/telemetry.js'
import { Instruments } from './instruments.js'
import { OtelSpan } from './span.js'
import { Tracing } from './tracing.js'

/** The options of `otel`. */
export interface OtelOptions {
  /**
   * Makes the tracer.
   * @default the provider that is registered with `@opentelemetry/api`
   */
  readonly tracerProvider?: TracerProvider | undefined
  /**
   * Makes the meter. Two stores in one process need two, or their gauges replace each other.
   * @default the provider that is registered with `@opentelemetry/api` when the store is opened
   */
  readonly meterProvider?: MeterProvider | undefined
}

// The function that each option must have.
const FUNCTIONS: Readonly<Record<string, string>> = { tracerProvider: 'getTracer', meterProvider: 'getMeter' }

/** Name of the instrumentation scope of all spans and metrics. */
const SCOPE = 'holdfast'

/**
 * Makes the telemetry for `Holdfast.open({ telemetry })`. Register a context manager, as the SDKs of OpenTelemetry do:
 * without one, no span is active in a step.
 * @throws TypeError for an option of the wrong type
 * @see docs/operations/telemetry.md
 */
export function otel(options: OtelOptions = {}): Telemetry {
  check(options)
  const { tracerProvider, meterProvider } = options
  return new OtelTelemetry(tracerProvider, meterProvider)
}

// Not with the checks of the library: this entry then shares no file with the others, which load without it.
function check(options: unknown): void {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Expected the options of \`otel\` to be an object, got ${typeof options}`)
  }
  for (const [option, given] of Object.entries(options)) {
    const name = FUNCTIONS[option]
    if (name === undefined) throw new TypeError(`There is no option \`${option.slice(0, 40)}\` of \`otel\``)
    if (given !== undefined && typeof (given as Record<string, unknown> | null)?.[name] !== 'function') {
      throw new TypeError(`Expected \`${option}\` to be an object with the function ${name}, got ${typeof given}`)
    }
  }
}

/** Spans by a tracer, and metrics by a meter. Both are made at their first use, after the SDK of a process is registered. */
class OtelTelemetry implements Telemetry {
  #tracing: Tracing | undefined
  #instruments: Instruments | undefined

  constructor(
    private readonly tracerProvider: TracerProvider | undefined,
    private readonly meterProvider: MeterProvider | undefined,
  ) {}

  begin(about: SpanBegin): TelemetrySpan {
    return new OtelSpan(about, this.#tracer.begin(about), this.#meter)
  }

  record(event: TelemetryEvent): void {
    this.#tracer.record(event)
    this.#meter.record(event)
  }

  observe(figures: TelemetryFigures): () => void {
    return this.#meter.observe(figures)
  }

  get #tracer(): Tracing {
    this.#tracing ??= new Tracing((this.tracerProvider ?? trace.getTracerProvider()).getTracer(SCOPE))
    return this.#tracing
  }

  get #meter(): Instruments {
    this.#instruments ??= new Instruments((this.meterProvider ?? metrics.getMeterProvider()).getMeter(SCOPE))
    return this.#instruments
  }
}
