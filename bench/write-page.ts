/** `npm run bench:page`: writes docs/internals/benchmarks.md and its plots again, from the newest run in data/bench. */
import { writePage } from './page/files.js'

await writePage()
