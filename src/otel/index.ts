/** OpenTelemetry for Holdfast: `Holdfast.open({ telemetry: otel() })`. Needs the package `@opentelemetry/api`. */
export { type OtelOptions, otel } from './otel.js'
