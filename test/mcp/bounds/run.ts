/**
 * `npm run bounds`: every attack on a server of its own, with the figures as a table. `--seconds 60` for longer attacks,
 * `--only <name>` for one. Times are measured here and not in the tests, since they mean something on a quiet machine only.
 */
import { Command } from 'commander'
import { attack } from './attack.js'
import { ATTACKS } from './attacks.js'

const LIMITS = { rssMb: 400, heldMs: 100, otherMs: 500, restartMs: 2_000 }

const { seconds, only } = new Command('bounds')
  .description('Attacks servers with default options and a heap of 128 MB.')
  .option('--seconds <number>', 'how long each attack takes', Number, 10)
  .option('--only <name>', 'one attack')
  .parse()
  .opts<{ seconds: number; only?: string }>()

console.log(`${seconds} s each; limits: RSS ${LIMITS.rssMb} MB, event loop held ${LIMITS.heldMs} ms, another client's`)
console.log(`tools/list ${LIMITS.otherMs} ms, first answer after a restart ${LIMITS.restartMs} ms\n`)
console.log('| attack | lived | RSS, MB | disk, MB (budget) | held, ms | other client, ms | restart, ms |')
console.log('|---|---|---|---|---|---|---|')
for (const one of ATTACKS) {
  if (only !== undefined && one.name !== only) continue
  const { name, lived, rssMb, diskMb, diskMbMax, heldMs, otherMs, otherRefused, restartMs } = await attack(one, seconds)
  const isOver =
    rssMb > LIMITS.rssMb || heldMs > LIMITS.heldMs || otherMs > LIMITS.otherMs || restartMs > LIMITS.restartMs
  const isBad = !lived || otherRefused > 0 || diskMb > diskMbMax || isOver
  if (isBad) process.exitCode = 1
  const other = otherRefused > 0 ? `${otherMs}, ${otherRefused} refused` : otherMs
  console.log(
    `| ${name}${isBad ? ' (over)' : ''} | ${lived ? 'yes' : 'no'} | ${rssMb} | ${diskMb} (${diskMbMax}) | ${heldMs} | ${other} | ${restartMs} |`,
  )
}
