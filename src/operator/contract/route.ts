/** The form of a route, and the types that follow from its schemas. */
import { z } from 'zod'

/** One route. The names of its path, query and body are distinct, so that a client passes them as one object. */
export interface Route<
  Params extends z.ZodObject = z.ZodObject,
  Query extends z.ZodObject = z.ZodObject,
  Body extends z.ZodObject = z.ZodObject,
  Response extends z.ZodType = z.ZodType,
> {
  /** `GET` reads. `POST` changes something, or may. */
  readonly method: 'GET' | 'POST'
  /** Path with `:name` for each parameter. */
  readonly path: string
  /** Description for the reference. */
  readonly summary: string
  readonly params: Params
  readonly query: Query
  readonly body: Body
  readonly response: Response
}

type Frozen<T> = unknown extends T
  ? T
  : T extends readonly (infer Item)[]
    ? readonly Frozen<Item>[]
    : T extends object
      ? { readonly [Key in keyof T]: Frozen<T[Key]> }
      : T

/** Type of a checked value of a schema, read-only in all its depth. */
export type Wire<Schema extends z.ZodType> = Frozen<z.output<Schema>>

/** The fields of a schema; none of an empty one, whose type would refuse every field. */
type FieldsOf<Schema extends z.ZodType> = string extends keyof z.output<Schema> ? unknown : Wire<Schema>

/** Type of the one object that a client passes for a route. */
export type RequestOf<R extends Route> = FieldsOf<R['params']> & FieldsOf<R['query']> & FieldsOf<R['body']>

/** Type of the answer of a route. */
export type ResponseOf<R extends Route> = Wire<R['response']>

const NOTHING = z.strictObject({})
type Nothing = typeof NOTHING

interface RouteParts<Params, Query, Body, Response> {
  readonly path: string
  readonly summary: string
  readonly params?: Params
  readonly query?: Query
  readonly body?: Body
  readonly response: Response
}

/** Makes a route that reads. */
export function get<
  Response extends z.ZodType,
  Params extends z.ZodObject = Nothing,
  Query extends z.ZodObject = Nothing,
>(parts: RouteParts<Params, Query, Nothing, Response>): Route<Params, Query, Nothing, Response> {
  return routeOf('GET', parts)
}

/** Makes a route that may change something. */
export function post<
  Response extends z.ZodType,
  Params extends z.ZodObject = Nothing,
  Body extends z.ZodObject = Nothing,
>(parts: RouteParts<Params, Nothing, Body, Response>): Route<Params, Nothing, Body, Response> {
  return routeOf('POST', parts)
}

function routeOf<Params, Query, Body, Response>(
  method: 'GET' | 'POST',
  { params, query, body, ...parts }: RouteParts<Params, Query, Body, Response>,
) {
  const given = { params: params ?? NOTHING, query: query ?? NOTHING, body: body ?? NOTHING }
  return { ...parts, method, ...given } as { readonly method: typeof method } & typeof parts & {
      readonly params: Params
      readonly query: Query
      readonly body: Body
    }
}

/** A list in a query: one value, or the name repeated. */
export function manyOf<Item extends z.ZodType>(item: Item) {
  return z.preprocess(
    (given) => (given === undefined || Array.isArray(given) ? given : [given]),
    z.array(item).optional(),
  )
}

/** A flag in a query: `true` or `false`. */
export const flagInQuery = z.stringbool({ truthy: ['true'], falsy: ['false'] }).optional()

/** A value in a query as JSON. A text that is none does not fit the schema. */
export function jsonInQuery<Item extends z.ZodType>(item: Item) {
  return z.preprocess((given) => (typeof given === 'string' ? parsed(given) : given), item)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
