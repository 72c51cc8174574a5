/** What a process opens a store for: `serve` to run its tasks, `operate` for one command of an operator. */
export type Purpose = 'serve' | 'operate'
