/** Damages of a filled store, one for each rule of `verify`. */
import type { FindingCode } from '../../src/admin/verify/findings.js'
import type { Alterable, Filled } from './stores.js'

/** Harms a database. */
export type Harm = (database: Alterable, ids: Filled) => unknown

/** Each harm with the code of its finding and a pattern for its key. */
export const HARMS: readonly (readonly [name: string, harm: Harm, code: FindingCode, key: RegExp])[] = [
  ['a flipped value', (database, ids) => database.put(`live/${ids.waiting}`, 'rot'), 'RECORD_SEAL', /^live\//],
  ['no fixed part', (database, ids) => database.del(`task/${ids.waiting}`), 'HEAD_PART_MISSING', /^task\//],
  ['no moving part', (database, ids) => database.del(`live/${ids.waiting}`), 'HEAD_PART_MISSING', /^live\//],
  ['no head', (database, ids) => [database.del(`live/${ids.sent}`), database.del(`task/${ids.sent}`)], 'ORPHAN', /./],
  [
    'both heads',
    (database, ids) => database.change(`done/${ids.settled}`, (body) => body, `live/${ids.settled}`),
    'HEAD_TWICE',
    /^live\//,
  ],
  ['no record', (database, ids) => database.del(database.first(`log/${ids.waiting}/`)), 'LOG_INCOMPLETE', /^log\//],
  ['no input', (database, ids) => database.del(`input/${ids.sent}`), 'VALUE_MISSING', /^input\//],
  ['no outcome', (database, ids) => database.del(`outcome/${ids.large}`), 'VALUE_MISSING', /^outcome\//],
  [
    'an outcome of an unfinished task',
    (database, ids) => database.change(`outcome/${ids.large}`, (body) => body, `outcome/${ids.waiting}`),
    'VALUE_SURPLUS',
    /^outcome\//,
  ],
  [
    'no description of a checkpoint',
    (database, ids) => database.del(database.first(`checkpoint/${ids.waiting}/`)),
    'CHECKPOINT_MISSING',
    /^checkpoint\//,
  ],
  [
    'no state of a checkpoint',
    (database, ids) => database.del(database.first(`state/${ids.waiting}/`)),
    'CHECKPOINT_MISSING',
    /^state\//,
  ],
  ['no undo record', (db, ids) => db.del(db.first(`intent/${ids.waiting}/`)), 'COUNT_WRONG', /^intent\//],
  ['no pending input', (db, ids) => db.del(db.first(`note/${ids.waiting}/`)), 'COUNT_WRONG', /^note\//],
  ['no message', (db, ids) => db.del(db.first(`message/${ids.sent}/`)), 'COUNT_WRONG', /^message\//],
  ['no entry of a type', (database, ids) => database.del(`ix/t/echo/c/${ids.large}`), 'INDEX_MISSING', /^ix\/t\//],
  ['no entry of an owner', (database, ids) => database.del(`ix/o/alice/c/${ids.settled}`), 'INDEX_MISSING', /^ix\/o\//],
  [
    'no entry of an attribute',
    (database, ids) => database.del(`ix/a/customer/%22a%2F17%22/${ids.settled}`),
    'INDEX_MISSING',
    /^ix\/a\//,
  ],
  [
    'an entry of another value of an attribute',
    (database, ids) => {
      const key = `ix/a/customer/%22a%2F17%22/${ids.settled}`
      database.change(key, (body) => body, `ix/a/customer/17/${ids.settled}`)
    },
    'INDEX_SURPLUS',
    /^ix\/a\/customer\/17/,
  ],
  [
    'an entry with other content',
    (database, ids) => database.change(`ix/o/alice/c/${ids.settled}`, () => '["other",1]'),
    'INDEX_MISSING',
    /^ix\/o\//,
  ],
  [
    'an entry of an unfinished task',
    (database, ids) => database.change(`ix/t/echo/c/${ids.large}`, (body) => body, `ix/t/wait/c/${ids.waiting}`),
    'INDEX_SURPLUS',
    /^ix\/t\/wait/,
  ],
  ['no timer of a sweep', (db) => db.del(timerOf(db, 'sweep')), 'TIMER_MISSING', /^timer\//],
  ['no entry for retention', (db) => db.del(db.first('settled/')), 'TIMER_MISSING', /^settled\//],
  [
    'a timer of no task',
    (db, ids) => db.change(timerOf(db, 'sweep'), (body) => body, `timer/0123456789ab/sweep/${ids.waiting}`),
    'TIMER_SURPLUS',
    /^timer\//,
  ],
  ['no key of an unfinished task', (database) => database.del('key//wait/waits'), 'KEY_MISSING', /^key\//],
  ['no key of a settled task', (database) => database.del('key/alice/echo/once'), 'KEY_MISSING', /^key\//],
  [
    'a key of no task',
    (database) =>
      database.change(
        'key/alice/echo/once',
        (body) => body.replaceAll('once', 'else').replace(/task-\w+/, 'task-0'),
        'key/alice/echo/else',
      ),
    'KEY_SURPLUS',
    /^key\//,
  ],
  ['no audit value', (db) => db.del(db.first('audit/')), 'TRAIL_WRONG', /^trail\//],
  ['no key of the trail', (db) => db.del(db.first('trail/task')), 'TRAIL_WRONG', /^trail\//],
  [
    'an audit value without entries',
    (db) => db.change(db.first('audit/'), () => '{"prev":"","at":1,"bytes":1,"entries":[]}'),
    'AUDIT_ORDER',
    /^audit\//,
  ],
  [
    'an audit entry with another actor',
    (db) => db.change(db.first('audit/'), (body) => body.replace('"by":"', '"by":"x')),
    'AUDIT_CHAIN',
    /^audit\//,
  ],
  [
    'no first audit value, and no keys that lead to it',
    (db) => {
      const key = db.first('audit/')
      for (const trail of db.keys('trail/')) if (trail.endsWith(key.slice('audit'.length))) db.del(trail)
      db.del(key)
    },
    'AUDIT_CHAIN',
    /^audit\//,
  ],
  [
    'other counters',
    (database) => database.change('meta/totals', (body) => body.replace(/"completed":\d+/, '"completed":7')),
    'TOTALS_WRONG',
    /^meta\/totals/,
  ],
  [
    'counters under a key that is no full hour',
    (db) => db.change(db.first('hour/'), (body) => body, 'hour/0123456789ab'),
    'RECORD_UNREADABLE',
    /^hour\/0123456789ab$/,
  ],
  [
    'counters of an hour that are no counts',
    (db) => db.change(db.first('hour/'), (body) => body.replace(/"completed":\d+/, '"completed":-1')),
    'RECORD_UNREADABLE',
    /^hour\//,
  ],
  ['no commit', (db) => db.del(db.keys('chain/')[3] as string), 'COMMITS_MISSING', /^chain\//],
  [
    'the identity of another store',
    (database) => database.change('meta/format', (body) => body.replace(/"storeId":"[^"]*"/, '"storeId":"other"')),
    'IDENTITY_WRONG',
    /^meta\/format/,
  ],
  [
    'a head that is no JSON',
    (database, ids) => database.change(`task/${ids.sent}`, () => '{'),
    'RECORD_UNREADABLE',
    /./,
  ],
] as const

function timerOf(database: Alterable, kind: string): string {
  return database.keys('timer/').find((key) => key.split('/')[2] === kind) as string
}
