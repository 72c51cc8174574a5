/** Types of the events of a feed. Apart from the code that reads them, so that the declarations need no types of Node. */
import type { EventName, HoldfastEvents } from '../../base/events.js'
import type { ResponseOf } from '../contract/route.js'
import type { Routes } from '../contract/routes.js'

/** State at the begin of a feed: of the task, or of the store. */
export type OperatorSnapshot =
  | { readonly task: ResponseOf<Routes['getTask']>; readonly segments: ResponseOf<Routes['listSteps']>['segments'] }
  | { readonly stats: ResponseOf<Routes['stats']>; readonly recovery: ResponseOf<Routes['recovery']> }

/** An event of the feed. `at` is its instant, in milliseconds since the epoch. */
export type OperatorEvent =
  | { readonly name: 'snapshot'; readonly data: OperatorSnapshot }
  | { readonly name: 'cut' | 'closed'; readonly data: { readonly message: string } }
  | {
      readonly [Name in EventName]: {
        readonly name: Name
        readonly data: Readonly<HoldfastEvents[Name]> & { readonly at: number }
      }
    }[EventName]
